"""Properties of the ops: `cases` draws calls, `test_every_op` holds for all, the others mirror minigan/ops."""
