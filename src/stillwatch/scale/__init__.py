"""From a file to a cluster: shards of our own, mapped by processes or by Ray, with the same bytes out.

>>> from stillwatch.scale import Local, score_files
"""

from stillwatch.scale.engine import Engine, engine_named
from stillwatch.scale.local import Local
from stillwatch.scale.score import Scored, score_files

__all__ = ["Engine", "Local", "Scored", "engine_named", "score_files"]
