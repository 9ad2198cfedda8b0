"""Vectors + temporal position -> ClipPoints: the blocks, the pooling of frames, positions, and the other fusions.

The names below are what other packages lay out clips and questions with.
"""

from transforms.fuse.blocks import STILL_CHANGE as STILL_CHANGE
from transforms.fuse.blocks import as_block as as_block
from transforms.fuse.blocks import change_block as change_block
from transforms.fuse.blocks import lay_out as lay_out
from transforms.fuse.pooling import mean_direction as mean_direction
from transforms.fuse.positions import position_block as position_block
from transforms.fuse.positions import position_query as position_query
from transforms.fuse.positions import time_features as time_features
from transforms.fuse.stage import fuse_segment as fuse_segment
