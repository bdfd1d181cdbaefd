"""Every tolerance of the tests, in one place; never loosened to pass."""

# float32 arithmetic in another order, over the few layers of a tiny model
FLOAT32_LOGITS = 1e-4
# one attention in float32
FLOAT32_ATTENTION = 1e-5
# one attention with float16 inputs and output, float32 within
FLOAT16_ATTENTION = 2e-3
# one attention with bfloat16 inputs and output: three decimal digits
BFLOAT16_ATTENTION = 2e-2
# a log-sum-exp of bfloat16 inputs
BFLOAT16_LSE = 2e-3
# a share of attention estimated in float32, relative to itself
SHARES = 1e-4
# the same by an exponential of four digits, relative to itself
TILE_SHARES = 1e-3
# the loss of a real model beyond its window in bfloat16, against the prototype's, whose tokenizer split digits otherwise
LONG_LOSS = 0.05
# KL divergence of int8 weights from bfloat16 ones on a real model's next token, nats
INT8_DIVERGENCE = 0.02
