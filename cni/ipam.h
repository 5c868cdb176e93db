/* Addresses from the node's pod CIDRs (or explicit ranges) in host-local's on-disk layout:
 * <dataDir>/<network>/<address> holds "<containerID>\r\n<ifname>", last_reserved_ip.<0|1> the
 * address given last of each family, lock is flocked. Neither the files nor the kernel is trusted
 * alone: an address that is routed to a live interface is never given, and a file without container
 * is given up when addresses run out. */
#pragma once

#include "cni/plugin.h"
#include "cni/wire.h"

struct ipam;

MUST_CHECK bool ipam_open(const struct cni_config *config, struct wire *wire,
                          struct ipam **ret_ipam, struct err *err); /* takes the lock */
void ipam_close(struct ipam *ipam);                                 /* gives it back */

/* One address of each family that has ranges, both or none. A file that this attachment has already
 * is left alone: felix may be about to remove it, after the DEL of a sandbox that is made anew. */
MUST_CHECK bool ipam_allocate(struct ipam *ipam, const struct cni_env *env,
                              const ipam_range_vec ranges[2], struct cni_attachment *attachment,
                              struct err *err);
/* Paths of the files of one attachment; the caller frees each and the vector. */
typedef VEC(char *) path_vec;
void ipam_files_of(const struct ipam *ipam, const char *container_id, const char *ifname,
                   path_vec *ret_paths);
void ipam_paths_done(path_vec *paths);
/* Removes the files of one attachment. */
void ipam_release(const struct ipam *ipam, const char *container_id, const char *ifname);
/* Removes files without content. They are filled under the lock, so whoever made them is dead. */
void ipam_sweep(const struct ipam *ipam);
/* Calls each for every address file. */
void ipam_each(const struct ipam *ipam,
               void (*each)(void *owner, const char *path, const char *container_id,
                            const char *ifname),
               void *owner);
/* At least one address of each family that has ranges is free. */
MUST_CHECK bool ipam_has_room(struct ipam *ipam, const ipam_range_vec ranges[2], struct err *err);
