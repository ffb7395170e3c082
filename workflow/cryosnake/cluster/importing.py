"""Importing a cluster template of cryoSPARC or RELION."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cryosnake.cluster.cryosparc_lane import read_cryosparc_lane
from cryosnake.cluster.lane import ClusterLane
from cryosnake.cluster.relion_template import read_relion_template
from cryosnake.errors import CryosnakeError


def read_lane_files(files: Sequence[Path], variables: Mapping[str, str],
                    commands: Mapping[str, str]) -> tuple[ClusterLane, str]:
    """Return the lane of a cluster_info.json (with cluster_script.sh beside it or named too) or of a RELION script.

    Raises
    ------
    CryosnakeError
        for files that are neither
    """
    for path in files:
        if not path.is_file():
            raise CryosnakeError(f"{path}: there is no such file")
    infos = [path for path in files if path.suffix == ".json"]
    scripts = [path for path in files if path.suffix != ".json"]
    if len(infos) == 1 and len(scripts) <= 1:
        script = scripts[0] if scripts else infos[0].with_name("cluster_script.sh")
        if not script.is_file():
            raise CryosnakeError(f"{script}: is missing; a lane of cryoSPARC consists of cluster_info.json and "
                                 "cluster_script.sh")
        return read_cryosparc_lane(infos[0], script, variables)
    if not infos and len(scripts) == 1:
        return read_relion_template(scripts[0], variables, commands)
    raise CryosnakeError("name cluster_info.json and cluster_script.sh of cryoSPARC, or one submission script of "
                         "RELION")
