"""What happens beside training: curves, predictions, heartbeats. No number of a result depends on them."""

from dotally.callbacks.curve import Curve
from dotally.callbacks.heartbeat import Heartbeat
from dotally.callbacks.predictions import Prediction, Predictions
from dotally.callbacks.random_state import RandomState

__all__ = ["Curve", "Heartbeat", "Prediction", "Predictions", "RandomState"]
