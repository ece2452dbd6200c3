"""Triton kernels of dotally. Kernels and their launchers, nothing else; the mathematics is in ``dotally.ops``.

This module imports nothing, so it loads where Triton cannot. Another project publishes a package of the same
import name, therefore ``dotally.ops`` checks ``OWNER`` before it calls a kernel.
"""

OWNER = "dotally"
