"""Attention kernels. All take (q, k, v, visibility, window, slopes) and differ in speed alone."""
