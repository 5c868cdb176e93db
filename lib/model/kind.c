/* The table of kinds. */
#include "lib/model/kind.h"

#include <stddef.h>

#include "lib/model/bgp_configuration.h"
#include "lib/model/bgp_peer.h"
#include "lib/model/endpoint_slice.h"
#include "lib/model/felix_configuration.h"
#include "lib/model/host_endpoint.h"
#include "lib/model/ippool.h"
#include "lib/model/namespace.h"
#include "lib/model/network_set.h"
#include "lib/model/node.h"
#include "lib/model/pod.h"
#include "lib/model/policy.h"
#include "lib/model/policy_kinds.h"
#include "lib/model/tier.h"

static const struct kind_ops kinds[N_KINDS] = {
    [KIND_NODE] = {.name = "Node",
                   .resource = "nodes",
                   .group = "",
                   .version = "v1",
                   .decode = node_decode,
                   .free = node_free,
                   .equal = node_equal},
    [KIND_POD] = {.name = "Pod",
                  .resource = "pods",
                  .group = "",
                  .version = "v1",
                  .is_namespaced = true,
                  .decode = pod_decode,
                  .scan = pod_scan,
                  .free = pod_free,
                  .equal = pod_equal},
    [KIND_IPPOOL] = {.name = "IPPool",
                     .resource = "ippools",
                     .group = "crd.projectcalico.org",
                     .version = "v1",
                     .decode = ippool_decode,
                     .free = ippool_free,
                     .equal = ippool_equal},
    [KIND_BGPCONFIGURATION] = {.name = "BGPConfiguration",
                               .resource = "bgpconfigurations",
                               .group = "crd.projectcalico.org",
                               .version = "v1",
                               .decode = bgp_configuration_decode,
                               .free = bgp_configuration_free,
                               .equal = bgp_configuration_equal},
    [KIND_BGPPEER] = {.name = "BGPPeer",
                      .resource = "bgppeers",
                      .group = "crd.projectcalico.org",
                      .version = "v1",
                      .decode = bgp_peer_decode,
                      .free = bgp_peer_free,
                      .equal = bgp_peer_equal},
    [KIND_NAMESPACE] = {.name = "Namespace",
                        .resource = "namespaces",
                        .group = "",
                        .version = "v1",
                        .decode = namespace_decode,
                        .free = namespace_free,
                        .equal = namespace_equal},
    [KIND_SERVICEACCOUNT] = {.name = "ServiceAccount",
                             .resource = "serviceaccounts",
                             .group = "",
                             .version = "v1",
                             .is_namespaced = true,
                             .decode = service_account_decode,
                             .free = service_account_free,
                             .equal = service_account_equal},
    [KIND_TIER] = {.name = "Tier",
                   .resource = "tiers",
                   .group = "crd.projectcalico.org",
                   .version = "v1",
                   .decode = tier_decode,
                   .free = tier_free,
                   .equal = tier_equal},
    [KIND_NETWORKSET] = {.name = "NetworkSet",
                         .resource = "networksets",
                         .group = "crd.projectcalico.org",
                         .version = "v1",
                         .is_namespaced = true,
                         .is_kept_whole = true,
                         .decode = network_set_decode,
                         .free = network_set_free,
                         .equal = network_set_equal},
    [KIND_GLOBALNETWORKSET] = {.name = "GlobalNetworkSet",
                               .resource = "globalnetworksets",
                               .group = "crd.projectcalico.org",
                               .version = "v1",
                               .is_kept_whole = true,
                               .decode = global_network_set_decode,
                               .free = network_set_free,
                               .equal = network_set_equal},
    [KIND_HOSTENDPOINT] = {.name = "HostEndpoint",
                           .resource = "hostendpoints",
                           .group = "crd.projectcalico.org",
                           .version = "v1",
                           .decode = host_endpoint_decode,
                           .free = host_endpoint_free,
                           .equal = host_endpoint_equal},
    [KIND_ENDPOINTSLICE] = {.name = "EndpointSlice",
                            .resource = "endpointslices",
                            .group = "discovery.k8s.io",
                            .version = "v1",
                            .is_namespaced = true,
                            .decode = endpoint_slice_decode,
                            .free = endpoint_slice_free,
                            .equal = endpoint_slice_equal},
    [KIND_NETWORKPOLICY] = {.name = "NetworkPolicy",
                            .resource = "networkpolicies",
                            .group = "networking.k8s.io",
                            .version = "v1",
                            .is_namespaced = true,
                            .decode = network_policy_decode,
                            .free = policy_free,
                            .equal = policy_equal},
    [KIND_CALICONETWORKPOLICY] = {.name = "CalicoNetworkPolicy",
                                  .resource = "networkpolicies",
                                  .group = "crd.projectcalico.org",
                                  .version = "v1",
                                  .is_namespaced = true,
                                  .decode = calico_network_policy_decode,
                                  .free = policy_free,
                                  .equal = policy_equal},
    [KIND_GLOBALNETWORKPOLICY] = {.name = "GlobalNetworkPolicy",
                                  .resource = "globalnetworkpolicies",
                                  .group = "crd.projectcalico.org",
                                  .version = "v1",
                                  .decode = global_network_policy_decode,
                                  .free = policy_free,
                                  .equal = policy_equal},
    [KIND_STAGEDNETWORKPOLICY] = {.name = "StagedNetworkPolicy",
                                  .resource = "stagednetworkpolicies",
                                  .group = "crd.projectcalico.org",
                                  .version = "v1",
                                  .is_namespaced = true,
                                  .decode = staged_network_policy_decode,
                                  .free = policy_free,
                                  .equal = policy_equal},
    [KIND_STAGEDGLOBALNETWORKPOLICY] = {.name = "StagedGlobalNetworkPolicy",
                                        .resource = "stagedglobalnetworkpolicies",
                                        .group = "crd.projectcalico.org",
                                        .version = "v1",
                                        .decode = staged_global_network_policy_decode,
                                        .free = policy_free,
                                        .equal = policy_equal},
    [KIND_STAGEDKUBERNETESNETWORKPOLICY] = {.name = "StagedKubernetesNetworkPolicy",
                                            .resource = "stagedkubernetesnetworkpolicies",
                                            .group = "crd.projectcalico.org",
                                            .version = "v1",
                                            .is_namespaced = true,
                                            .decode = staged_kubernetes_network_policy_decode,
                                            .free = policy_free,
                                            .equal = policy_equal},
    [KIND_CLUSTERNETWORKPOLICY] = {.name = "ClusterNetworkPolicy",
                                   .resource = "clusternetworkpolicies",
                                   .group = "policy.networking.k8s.io",
                                   .version = "v1alpha2",
                                   .decode = cluster_network_policy_decode,
                                   .free = policy_free,
                                   .equal = policy_equal},
    [KIND_FELIXCONFIGURATION] = {.name = "FelixConfiguration",
                                 .resource = "felixconfigurations",
                                 .group = "crd.projectcalico.org",
                                 .version = "v1",
                                 .decode = felix_configuration_decode,
                                 .free = felix_configuration_free,
                                 .equal = felix_configuration_equal},
};

const struct kind_ops *
kind_ops(enum kind kind)
{
    return &kinds[kind];
}

void
kind_issue(const struct kind_issues *issues, const struct err *err)
{
    if (issues != NULL && issues->report != NULL) {
        issues->report(issues->owner, err->text);
    }
}

bool
kind_is_policy(enum kind kind)
{
    return kind >= KIND_NETWORKPOLICY && kind <= KIND_CLUSTERNETWORKPOLICY;
}
