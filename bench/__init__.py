"""Ours beside the real Kinto, in one interleaved run: what a request costs.

``python -m bench run`` measures workloads W1 to W9, ``python -m bench curve`` how they behave as a collection
grows, ``python -m bench memory`` what a worker holds, ``python -m bench noise`` what two identical servers
differ by, ``python -m bench profile`` where ours spends its time.
"""
