"""A crowd that is computed, not photographed: rendered people on a square, and where exactly each head is."""

from dotally.data.synthetic.scene import Scene, plan_scene, render
from dotally.data.synthetic.write import SyntheticSpec, read_manifest, write_synthetic_crowd

__all__ = ["Scene", "SyntheticSpec", "plan_scene", "read_manifest", "render", "write_synthetic_crowd"]
