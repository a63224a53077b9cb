"""The kernels, in Triton: loops over tiles of scores that add a bias by distance.

Names are those of the core's steps: ``*_spans`` int32 [2, documents], starts then ends; ``*_token`` and ``*_head``
strides; ``width`` of a head, padded to WIDTH; ``blocks`` of the longest document, so that a grid does not depend on
lengths. Keys are numbered from the first query of their document: key x and row r are at distance ``x - r``, both end
together, and keys before the first query have negative numbers. So tiles of one offset have the same distances in
every document. Without BIAS there are no distances, and keys are numbered from their own beginning.
"""
