"""Splittable reading of WARC, ARC, WET and WAT files: segments in, pages and damage out."""

from stages.warc.reader import read_segment
from stages.warc.segments import Segment, plan_segments
from stages.warc.sniff import sniff

__all__ = ["Segment", "plan_segments", "read_segment", "sniff"]
