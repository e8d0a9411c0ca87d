"""The row of the cluster."""

from __future__ import annotations

from bleepstore.cluster_status import ClusterStatus
from bleepstore_server.admin.rows import AdminError, Call, Row, Who

_NO_CLUSTER = "This store is not on a cluster: it is on this node alone."


def _cluster(call: Call) -> ClusterStatus:
    status = call.services.store.cluster_status()
    if status is None:
        raise AdminError(404, "NoCluster", _NO_CLUSTER)
    return status


ROWS = (
    Row(
        method="GET",
        path="/admin/v1/cluster",
        who=Who.ADMIN,
        summary="What this node of the cluster is at, and what it knows of the others; 404 where there is no cluster",
        handler=_cluster,
        answer=ClusterStatus,
    ),
)
