"""A model as one C99 file and a header, for where no Python and no onnxruntime will go.

The file holds the whole graph: missing values, scaling, categories and the student. It needs nothing but the C library, allocates
nothing, keeps no state and is safe to call from many threads.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from stillwatch import __version__
from stillwatch.artifact.load import Loaded, read_artifact
from stillwatch.artifact.parity import TOLERANCE
from stillwatch.calibration.conformal import threshold
from stillwatch.errors import InputError
from stillwatch.export.folder import write_files
from stillwatch.export.translate import INPUTS, translate
from stillwatch.export.values import FLOAT, TEXT, Value, literal, quoted, remark
from stillwatch.export.writer import Writer
from stillwatch.table.pack import Packer, Rows


@dataclass(frozen=True)
class ExportedC:
    """What was written.

    Attributes
    ----------
    source, header
        the files.
    stack
        bytes of stack that one call needs for its values.
    threshold
        a row raises an alarm where its score is at least this.
    alert_rate
        the share of normal rows that then do.
    """

    source: Path
    header: Path
    stack: int
    threshold: float
    alert_rate: float


def export_c(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    alert_rate: float | None = None,
    overwrite: bool = False,
) -> ExportedC:
    """Write `name`.c and `name`.h, which score one row as onnxruntime does, to 1e-5.

    Parameters
    ----------
    model
        model folder.
    folder
        where the files go; made where it is missing.
    name
        of the files, and what the functions' names begin with.
    alert_rate
        share of normal rows that may raise an alarm, for the threshold in the header; None: the model's.

    Raises
    ------
    ArtifactError
        the model cannot be read or trusted.
    InputError
        the graph holds an operator that has no C form here, the name is none in C, or a file exists.
    CalibrationError
        the rate is finer than the calibration rows support.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", name):
        raise InputError(
            f"name={name!r}: expected a name in C: letters, digits and _, at most 41, a letter first."
        )
    loaded = read_artifact(model)
    rate = loaded.manifest.alert_rate if alert_rate is None else alert_rate
    limit = threshold(loaded.manifest.calibration, rate)
    writer, score = translate(loaded.model)
    source, header = (Path(folder, f"{name}.{ending}") for ending in ("c", "h"))
    write_files(
        folder,
        {
            source.name: _source(name, loaded, writer, score).encode(),
            header.name: _header(name, loaded, writer, limit, rate).encode(),
        },
        overwrite=overwrite,
    )
    return ExportedC(source, header, writer.stack, limit, rate)


def _inputs(loaded: Loaded) -> list[str]:
    """The inputs that the graph has, in one order."""
    return [name for name in INPUTS if name in loaded.summary.inputs]


def _parameters(loaded: Loaded) -> str:
    kinds = {name: kind if kind != TEXT else "char *const" for name, kind in INPUTS.items()}
    return ", ".join(f"const {kinds[name]} *{name}" for name in _inputs(loaded))


def _header(name: str, loaded: Loaded, writer: Writer, limit: float, rate: float) -> str:
    layout, big = loaded.manifest.layout, name.upper()
    lines = []
    for each in _inputs(loaded):
        lines += [f"   {each}[{i}]  {remark(column)}" for i, column in enumerate(getattr(layout, each))]
    sizes = "\n".join(
        f"#define {big}_{each.upper()} {loaded.summary.inputs[each]}" for each in _inputs(loaded)
    )
    return f"""/* {name}: a model distilled by Stillwatch {remark(loaded.manifest.writer)}, written as C by {__version__}.
   Model {loaded.digest}

   Columns:
{chr(10).join(lines)}

   A missing number is NAN, a missing text "" or NULL, a missing time INT64_MIN. A boolean is 0 or 1. A time is microseconds since
   1970 UTC. A text is UTF-8, without spaces around it. Compile without -ffast-math: missing values are NAN. */
#ifndef {big}_H
#define {big}_H

#include <stdint.h>

{sizes}

/* A row raises an alarm where its score is at least {big}_THRESHOLD; of normal rows a share of {big}_ALERT_RATE does. */
#define {big}_ALERT_RATE {literal(rate, "double")}
#define {big}_THRESHOLD {literal(limit, FLOAT)}

#ifdef __cplusplus
extern "C" {{
#endif

/* Score of one row; higher = more abnormal. Needs about {writer.stack} bytes of stack. */
float {name}_score({_parameters(loaded)});

/* Number of stored rows that score otherwise than when the model was made: 0 where all is well on this machine.
   Compiled only where {big}_SELF_TEST is defined. */
int {name}_self_test(void);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _source(name: str, loaded: Loaded, writer: Writer, score: Value) -> str:
    return f"""/* {name}: model {loaded.digest}, written by Stillwatch {__version__}. See {name}.h. */
#include "{name}.h"

{function(f"{name}_score", _parameters(loaded), writer, score)}

{_self_test(name, loaded)}"""


def function(name: str, parameters: str, writer: Writer, score: Value) -> str:
    """The C of one function with all that it needs."""
    parts = "\n\n".join((*writer.tables, *writer.helpers.values()))
    body = "\n".join(f"    {line}" for line in writer.body)
    text = "#include <string.h>\n" if "strcmp" in parts else ""
    return f"""#include <math.h>
#include <stdint.h>
{text}
#ifdef __FAST_MATH__
#error "Compile without -ffast-math: missing values are NAN."
#endif

#ifdef FP_FAST_FMAF
#define MADDF(a, b, c) fmaf(a, b, c)
#else
#define MADDF(a, b, c) ((c) + (a) * (b))
#endif
#ifdef FP_FAST_FMA
#define MADD(a, b, c) fma(a, b, c)
#else
#define MADD(a, b, c) ((c) + (a) * (b))
#endif

{parts}

float {name}({parameters})
{{
{body}
    return {score.code}[0];
}}"""


def _self_test(name: str, loaded: Loaded) -> str:
    """The stored golden rows, and what counts those that score otherwise."""
    manifest = loaded.manifest
    packer = Packer(manifest.schema)
    rows = Rows.concat([packer.row(row) for row in manifest.golden.rows])
    feed = manifest.layout.feed(rows, manifest.schema.numbers, manifest.schema.texts)
    count = len(rows)
    tables = [
        f"    static const {INPUTS[each] if INPUTS[each] != TEXT else 'char *const'} {each}[{feed[each].size}] = {{"
        f"{', '.join(_written(feed[each], INPUTS[each]))}}};"
        for each in _inputs(loaded)
    ]
    wanted = ", ".join(literal(score, FLOAT) for score in manifest.golden.scores)
    arguments = ", ".join(f"{each} + i * {loaded.summary.inputs[each]}" for each in _inputs(loaded))
    tables.append(f"    static const float wanted[{count}] = {{{wanted}}};")
    return f"""#ifdef {name.upper()}_SELF_TEST
int {name}_self_test(void)
{{
{chr(10).join(tables)}
    int wrong = 0;
    for (int i = 0; i < {count}; i++) {{
        const float score = {name}_score({arguments});
        const float size = fabsf(wanted[i]) > 1.0f ? fabsf(wanted[i]) : 1.0f;
        wrong += !(fabsf(score - wanted[i]) <= {literal(TOLERANCE, FLOAT)} * size);
    }}
    return wrong;
}}
#endif
"""


def _written(values: NDArray[Any], kind: str) -> list[str]:
    return [quoted(x) if kind == TEXT else literal(x, kind) for x in values.ravel()]
