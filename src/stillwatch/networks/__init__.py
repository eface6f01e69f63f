"""Distill any `torch.nn.Module` into any other. Importing this imports torch."""

from stillwatch.networks.batches import TensorBatches
from stillwatch.networks.discrepancy import Discrepancy, distill_discrepancy
from stillwatch.networks.distill import distill_network
from stillwatch.networks.export import Exported, export_network
from stillwatch.networks.layers import Hint
from stillwatch.networks.model import network_model
from stillwatch.networks.report import NetworkReport
from stillwatch.networks.result import NetworkDistillation
from stillwatch.networks.score import AnomalyScore, Logits, ReconstructionError
from stillwatch.networks.table import NetworkTable, read_table

__all__ = [
    "AnomalyScore",
    "Discrepancy",
    "Exported",
    "Hint",
    "Logits",
    "NetworkDistillation",
    "NetworkReport",
    "NetworkTable",
    "ReconstructionError",
    "TensorBatches",
    "distill_discrepancy",
    "distill_network",
    "export_network",
    "network_model",
    "read_table",
]
