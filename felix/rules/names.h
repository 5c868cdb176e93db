/* Names felix owns in the kernel, Calico's where the meaning is equal. The family digit of set
 * names is 4 or 6. */
#pragma once

#define WORKLOAD_PREFIX_DEFAULT "cali"
#define SET_ALL_HOSTS "all-hosts-net"    /* addresses of all nodes: who may send IPIP */
#define SET_ALL_POOLS "all-ipam-pools"   /* enabled pools: not masqueraded towards */
#define SET_MASQ_POOLS "masq-ipam-pools" /* pools with natOutgoing */
#define SET_WORKLOADS "wl-net-iface"     /* (pod address, interface): what a pod may send from */
#define SET_IPVS "all-ipvs-net"          /* addresses on kube-ipvs0 */
#define TUNNEL_NAME "tunl0"
