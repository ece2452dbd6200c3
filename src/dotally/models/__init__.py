"""Networks, their weights and what these expect of a picture."""

from dotally.models.alexnet import AlexNet
from dotally.models.csrnet import CSRNet
from dotally.models.gaunet import GauNetCSRNet, GauNetMCNN, GauNetResNet50Counter, GauNetSANet
from dotally.models.googlenet import GoogLeNet
from dotally.models.mcnn import MCNN
from dotally.models.plain_counter import PlainCounter
from dotally.models.preprocessing import PRESETS, Preprocessing, preprocess
from dotally.models.pretrained import fetch_vgg16, load_imagenet_frontend
from dotally.models.registry import build_model, list_models, register
from dotally.models.resnet import ResNet50
from dotally.models.resnet50_counter import ResNet50Counter
from dotally.models.sanet import SANet
from dotally.models.small_classifier import SmallClassifier
from dotally.models.vgg import VGG16
from dotally.models.weights import RawWeights, load_into, read_weights, recognise

__all__ = [
    "MCNN",
    "PRESETS",
    "VGG16",
    "AlexNet",
    "CSRNet",
    "GauNetCSRNet",
    "GauNetMCNN",
    "GauNetResNet50Counter",
    "GauNetSANet",
    "GoogLeNet",
    "PlainCounter",
    "Preprocessing",
    "RawWeights",
    "ResNet50",
    "ResNet50Counter",
    "SANet",
    "SmallClassifier",
    "build_model",
    "fetch_vgg16",
    "list_models",
    "load_imagenet_frontend",
    "load_into",
    "preprocess",
    "read_weights",
    "recognise",
    "register",
]
