"""The published crowd data sets by the names that the ``dotally data`` commands take."""

from dotally.data.carpk_files import CARPK_SET
from dotally.data.jhu_crowd_files import JHU_CROWD
from dotally.data.mall_files import MALL
from dotally.data.mtc_files import MTC_SET
from dotally.data.nwpu_crowd_files import NWPU_CROWD
from dotally.data.published import PublishedSet
from dotally.data.trancos_files import TRANCOS_SET
from dotally.data.ucf_cc_50_files import UCF_CC_50
from dotally.data.ucf_qnrf_files import UCF_QNRF
from dotally.data.ucsd_files import UCSD
from dotally.data.world_expo_files import WORLD_EXPO

PUBLISHED_SETS: dict[str, PublishedSet] = {
    "ucf-cc-50": UCF_CC_50,
    "ucf-qnrf": UCF_QNRF,
    "nwpu-crowd": NWPU_CROWD,
    "jhu-crowd": JHU_CROWD,
    "world-expo": WORLD_EXPO,
    "ucsd": UCSD,
    "mall": MALL,
    "trancos": TRANCOS_SET,
    "carpk": CARPK_SET,
    "mtc": MTC_SET,
}
