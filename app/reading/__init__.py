"""The desk: what is said to the engine, whether it fits, and the queue that works through it. No gradio, no torch."""
