"""T5's attention as Triton kernels: ``softmax(q k + bias(key - query)) v``, with the bias and its gradient inside.

Importing this package imports no Triton; :mod:`.ops` does, when the implementation is first selected.

**Why.** Other kernels take a bias as a tensor [heads, queries, keys]. At length 8192 that is 1.5 GiB for each layer of
a base model, and as much again for its gradient; reading it costs more time than computing the attention. But the bias
of T5 depends on the distance alone, and beyond a certain distance, 128 in the published models, no longer even on that.
A head's bias is one row of numbers: ``table[low + clamp(key - query, -low, high)]``.

**Forward** (:mod:`.loops.forward`). One program takes a block of queries and runs over tiles of keys as in
FlashAttention-2 (Dao 2023, arXiv 2307.08691). For such a block the keys fall into three ranges::

            far left            band            far right
    keys  [ -------------- | ............. | --------------- ]
    bias    table[0]         by distance     table[low + high]

In the far ranges, most of a long text, the bias of a whole tile is one number, which rides on the addition that masks
keys: these tiles cost what they cost without a bias. In the band a tile has BLOCK_Q + BLOCK_K - 1 distances; they are
read as one vector and gathered into the tile. Beyond its ends the table goes on with its last value, so that nothing
is clamped (:mod:`.distances`); a decoder's table goes on with -inf behind the query, which is its causal mask.

**Backward** without atomics, so that equal inputs give equal bits. The gradient of the queries has a program for each
block of queries (:mod:`.loops.rows`), that of keys and values one for each block of keys (:mod:`.loops.columns`); both
compute the probabilities again from the log-sum-exp. The gradient of the table is the sum, over all pairs at a
distance, of the gradients of their scores:

* *far*: the rows' kernel adds up all gradients in its far tiles: two numbers a block, for the table's two ends.
* *band* (:mod:`.loops.band`): tiles at one offset from their block's first row have the same distances in the same
  places, in every block of every document. One program takes one offset and one head, goes over all blocks, and adds
  up whole tiles in registers. What remains is a few tiles a head, whose diagonals are then summed.

So memory is O(heads x offsets x splits x BLOCK_Q x BLOCK_K), a few MiB, whatever the length. A number added to all
scores of a row changes nothing, hence each head's gradient sums to 0: a test that needs no reference.

Documents are packed, and queries and keys may be of different ones (cross-attention, without a bias). With a bias the
last query stands at the last key, as beside a cache. Dropout is drawn inside, from a counter-based generator, and drawn
again by each kernel of the backward. A query that may read nothing gets 0 and gives 0 back.
"""
