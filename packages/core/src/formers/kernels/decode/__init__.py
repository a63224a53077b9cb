"""Attention of one new token of each row over the keys of a cache, split over many programs.

Several architectures decode alike, so that these loops are the core's. An architecture makes an implementation of
:class:`~formers.kernels.decode.attention.SplitDecode`, and has the sizes of tiles in its own ``kernels/tiles.json``.
Importing this package imports no Triton; :mod:`.ops` does, when such an implementation is first selected.

**Why.** With one query a row, attention reads every key and value once and computes next to nothing: what counts is
how many processors read at a time. One program for each row and head, 12 for a single row of a small model, would
leave most of a GPU's 132 waiting. So the keys of a row are cut into SPLITS parts, each of which has a program of its
own (Flash-Decoding: Dao et al. 2023, https://crfm.stanford.edu/2023/10/12/flashdecoding.html)::

    real keys of a row   [ tile | tile : tile | tile : tile | new token ]
                           part 0        part 1        part 2            (part 3 ends at once)

* :func:`.loops.split` goes over the tiles of its part, with an online softmax for each slot of the tile, and leaves
  a maximum, a sum and a weighted sum of values.
* :func:`.loops.combine` makes one output of the parts. With a single part ``split`` writes the output itself.

**The cache.** Where a row begins and ends is read from the device, so that one captured graph serves all steps: the
grid comes from the room of the cache, and programs behind the end of their row return at once. Nothing beyond that end
is read, where other implementations read the whole room through a mask. The new key and value are used from registers,
and written to the cache by that one program whose part they end: no program reads what another writes.

**Bits.** Parts are counted from a row's first real token, not from the first column: padding and batch-mates change no
bit, nor does a second run. The room of the cache does, as the table of tiles has rows for buckets of it.

There is no backward: these operators are for inference.
"""
