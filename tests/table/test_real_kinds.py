"""Kind and role of every column of three real tables, decided by hand: by name, values and what the sets' authors say.

`FROM_VALUES` names the columns where what a person knows cannot be read off the values: there, and nowhere else, `inspect`
says something else, and declaring the kind puts it right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stillwatch as sw

BY_HAND: dict[str, dict[str, str]] = {
    "finance/vehicle_fraud.csv.gz": {
        "Month": "category feature",
        "WeekOfMonth": "number feature",
        "DayOfWeek": "category feature",
        "Make": "category feature",
        "AccidentArea": "category feature",
        "DayOfWeekClaimed": "category feature",  # holds "0" once
        "MonthClaimed": "category feature",
        "WeekOfMonthClaimed": "number feature",
        "Sex": "category feature",
        "MaritalStatus": "category feature",
        "Age": "number feature",
        "Fault": "category feature",
        "PolicyType": "category feature",
        "VehicleCategory": "category feature",
        "VehiclePrice": "category feature",
        "FraudFound_P": "boolean label",
        "PolicyNumber": "number ignore",  # 1 to 15,420, each once
        "RepNumber": "category feature",  # who handled the claim: 16 people, no order among them
        "Deductible": "number feature",
        "DriverRating": "number feature",
        "Days_Policy_Accident": "category feature",
        "Days_Policy_Claim": "category feature",
        "PastNumberOfClaims": "category feature",
        "AgeOfVehicle": "category feature",
        "AgeOfPolicyHolder": "category feature",
        "PoliceReportFiled": "boolean feature",
        "WitnessPresent": "boolean feature",
        "AgentType": "category feature",
        "NumberOfSuppliments": "category feature",
        "AddressChange_Claim": "category feature",
        "NumberOfCars": "category feature",
        "Year": "number feature",
        "BasePolicy": "category feature",
    },
    "network/nsl_kdd_train.csv.gz": {
        "duration": "number feature",
        "protocol_type": "category feature",
        "service": "category feature",
        "flag": "category feature",
        "src_bytes": "number feature",
        "dst_bytes": "number feature",
        "land": "boolean feature",
        "wrong_fragment": "number feature",
        "urgent": "number feature",  # a count; this file has only 0 and 1
        "hot": "number feature",
        "num_failed_logins": "number feature",
        "logged_in": "boolean feature",
        "num_compromised": "number feature",
        "root_shell": "boolean feature",
        "su_attempted": "number feature",  # said to be yes or no, but holds 2
        "num_root": "number feature",
        "num_file_creations": "number feature",
        "num_shells": "number feature",  # a count; this file has only 0 and 1
        "num_access_files": "number feature",
        "num_outbound_cmds": "number feature",  # always 0
        "is_host_login": "boolean feature",  # always 0
        "is_guest_login": "boolean feature",
        "count": "number feature",
        "srv_count": "number feature",
        "serror_rate": "number feature",
        "srv_serror_rate": "number feature",
        "rerror_rate": "number feature",
        "srv_rerror_rate": "number feature",
        "same_srv_rate": "number feature",
        "diff_srv_rate": "number feature",
        "srv_diff_host_rate": "number feature",
        "dst_host_count": "number feature",
        "dst_host_srv_count": "number feature",
        "dst_host_same_srv_rate": "number feature",
        "dst_host_diff_srv_rate": "number feature",
        "dst_host_same_src_port_rate": "number feature",
        "dst_host_srv_diff_host_rate": "number feature",
        "dst_host_serror_rate": "number feature",
        "dst_host_srv_serror_rate": "number feature",
        "dst_host_rerror_rate": "number feature",
        "dst_host_srv_rerror_rate": "number feature",
        "attack": "category ignore",
        "anomaly": "boolean label",
    },
    "medical/hypothyroid.csv.gz": {
        "age": "number feature",
        "sex": "category feature",
        "on thyroxine": "boolean feature",
        "query on thyroxine": "boolean feature",
        "on antithyroid medication": "boolean feature",
        "sick": "boolean feature",
        "pregnant": "boolean feature",
        "thyroid surgery": "boolean feature",
        "I131 treatment": "boolean feature",
        "query hypothyroid": "boolean feature",
        "query hyperthyroid": "boolean feature",
        "lithium": "boolean feature",
        "goitre": "boolean feature",
        "tumor": "boolean feature",
        "hypopituitary": "boolean feature",
        "psych": "boolean feature",
        "TSH measured": "boolean feature",
        "TSH": "number feature",
        "T3 measured": "boolean feature",
        "T3": "number feature",
        "TT4 measured": "boolean feature",
        "TT4": "number feature",
        "T4U measured": "boolean feature",
        "T4U": "number feature",
        "FTI measured": "boolean feature",
        "FTI": "number feature",
        "TBG measured": "boolean feature",  # always f
        "TBG": "number ignore",  # never measured: all missing
        "referral source": "category feature",
        "diagnosis": "category ignore",
        "anomaly": "boolean label",
    },
}

DECLARED: dict[str, dict[str, Any]] = {
    "finance/vehicle_fraud.csv.gz": {"label": "FraudFound_P"},
    "network/nsl_kdd_train.csv.gz": {"label": "anomaly", "ignore": ["attack"]},
    "medical/hypothyroid.csv.gz": {"label": "anomaly", "ignore": ["diagnosis"]},
}

FROM_VALUES: dict[str, dict[str, str]] = {
    "finance/vehicle_fraud.csv.gz": {"RepNumber": "number feature"},
    "network/nsl_kdd_train.csv.gz": {
        "urgent": "boolean feature",
        "num_shells": "boolean feature",
        "is_host_login": "number feature",
    },
    "medical/hypothyroid.csv.gz": {},
}


def found(path: Path, **options: Any) -> dict[str, str]:
    return {column.name: f"{column.kind} {column.role}" for column in sw.inspect(path, **options).columns}


@pytest.mark.parametrize("name", BY_HAND)
def test_kind_and_role_of_every_column(real_data: Path, name: str) -> None:
    by_hand = BY_HAND[name]
    inferred = found(real_data / name, **DECLARED[name])
    assert list(inferred) == list(by_hand)
    assert {
        column: inferred[column] for column in by_hand if inferred[column] != by_hand[column]
    } == FROM_VALUES[name]
    kinds = {column: by_hand[column].split()[0] for column in FROM_VALUES[name]}
    assert found(real_data / name, kinds=kinds, **DECLARED[name]) == by_hand
