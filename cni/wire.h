/* A pod's veth and what hangs on it, by rtnetlink: one socket in the host's namespace, one in the
 * pod's. No process is started. */
#pragma once

#include "cni/plugin.h"

struct wire;

/* Opens the socket of the host's namespace (the one this process is in). */
MUST_CHECK bool wire_open(struct wire **ret_wire, struct err *err);
void wire_close(struct wire *wire);
/* Moves this process into the pod's namespace and opens a socket there. err.code
 * CNI_BAD_ENVIRONMENT: there is no such namespace; CNI_BAD_NETNS: it is the host's. */
MUST_CHECK bool wire_enter(struct wire *wire, const char *netns, struct err *err);
/* Back to the host's. */
MUST_CHECK bool wire_leave(struct wire *wire, struct err *err);

struct wire_spec {
    const char *ifname; /* in the pod */
    const char *container_id;
    const uint8_t *mac; /* NULL: the kernel chooses */
    bool allow_forwarding;
};
/* In the pod's namespace: creates the pair with its other end in the host's, and sets up the pod's
 * end. Fills attachment->pod_mac. */
MUST_CHECK bool wire_make_pod_end(struct wire *wire, const struct wire_spec *spec,
                                  struct cni_attachment *attachment, struct err *err);
/* In the host's namespace: alias, settings, up. */
MUST_CHECK bool wire_make_host_end(struct wire *wire, const struct wire_spec *spec,
                                   const struct cni_attachment *attachment, struct err *err);
/* Deletes a host link when its alias is container_id or empty. One that is not there is fine; one
 * of another container is left alone, which is no error either. */
MUST_CHECK bool wire_delete_host_end(struct wire *wire, const char *host_ifname,
                                     const char *container_id, struct err *err);
/* Frees the name for a new sandbox: a link of another container is deleted. One of this very
 * container may be in felix's hands, after a DEL: it is waited for, and when it stays that is an
 * error. */
MUST_CHECK bool wire_make_way(struct wire *wire, const char *host_ifname, const char *container_id,
                              struct err *err);
/* Deletes every host link with this alias. */
MUST_CHECK bool wire_delete_by_alias(struct wire *wire, const char *container_id, struct err *err);
/* In the pod's namespace: deletes its end, and with it the other; one that is not there is fine. */
MUST_CHECK bool wire_delete_pod_end(struct wire *wire, const char *ifname, struct err *err);
/* In the pod's namespace: everything ADD made is there. */
MUST_CHECK bool wire_check_pod_end(struct wire *wire, const char *ifname,
                                   const struct cni_attachment *attachment, struct err *err);
/* The host routes this address to a workload interface. */
bool wire_is_routed_to_pod(struct wire *wire, const struct ip *ip);
/* Some host link carries this alias. */
bool wire_has_alias(struct wire *wire, const char *alias);
