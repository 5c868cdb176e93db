/* The pods of this node, from two sources: what the CNI plugin told (kept as one file each, so that
 * a restarted felix knows them) and the Pod objects (which cover pods that another plugin wired,
 * and those that nobody has wired yet). Says which addresses belong to which host interface. */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/model/pod.h"
#include "lib/proto/proto.h"

struct workloads;

struct workload {
    char ifname[16];      /* host side: cali... */
    struct prefix ips[4]; /* /32 and /128 */
    size_t n_ips;
    char *container_id; /* NULL: known from its Pod object only */
    char *pod_ifname;
    char *network;
    char *ns;
    char *pod;
};

/* 'put' and 'removed' are called for every change of what belongs to an interface. */
struct workloads_spec {
    const char *dir;    /* of the files; is made */
    const char *prefix; /* "cali" */
    void (*put)(void *owner, const struct workload *workload);
    void (*removed)(void *owner, const char *ifname);
    void *owner;
};

/* Reads the files; bad ones are reported and left alone. */
MUST_CHECK bool workloads_new(const struct workloads_spec *spec, struct workloads **ret_workloads,
                              struct err *err);
void workloads_free(struct workloads *workloads);
/* Calls put for every one that is known. */
void workloads_replay(struct workloads *workloads);

/* Writes the file before it returns. */
MUST_CHECK bool workloads_add(struct workloads *workloads, const struct proto_request *request,
                              struct err *err);
/* By container and interface; NULL when not known. Borrowed. */
const struct workload *workloads_find(const struct workloads *workloads, const char *container_id,
                                      const char *pod_ifname);
/* The pod goes: it is forgotten at once, and 'removal' (a pod_del, with what to release) is kept in
 * the place of its file until workloads_removed(), so that a felix that is killed in between ends
 * what it has promised. */
void workloads_remove(struct workloads *workloads, const struct proto_request *removal);
void workloads_removed(struct workloads *workloads, const char *container_id,
                       const char *pod_ifname);
/* Calls each() for the removals that an earlier run did not end. */
void workloads_resume(struct workloads *workloads,
                      void (*each)(void *owner, const struct proto_request *removal), void *owner);
/* A Pod object of this node came, changed (now set) or went (now NULL). */
void workloads_note_pod(struct workloads *workloads, const struct pod *was, const struct pod *now);
/* All that the plugin told, of one network; the caller frees the array, not what it points at. */
const struct workload **workloads_of_network(const struct workloads *workloads, const char *network,
                                             size_t *ret_n);
void workloads_each(const struct workloads *workloads,
                    void (*each)(void *owner, const struct workload *workload), void *owner);
/* prefix + 11 hex digits of SHA-1("namespace.pod"), as Calico names host interfaces. */
void workload_ifname(const char *prefix, const char *ns, const char *pod, char ret_ifname[16]);
