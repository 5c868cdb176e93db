/* A file for every local pod that the kernel holds: its route, sets and policy. What waits for it
 * may be somebody else's plugin; Canal's own is answered over the socket. Named as Calico names
 * them, "<EndpointStatusPathPrefix>/endpoint-status/k8s <namespace>%2F<pod> eth0". */
#pragma once

#include "felix/workloads.h"
#include "lib/base/err.h"

struct status_files;

/* Makes the directory; files in it count as there until the first status_files_end(), which takes
 * those away that were not kept. */
MUST_CHECK bool status_files_new(const char *prefix, struct status_files **ret_files,
                                 struct err *err);
void status_files_free(struct status_files *files); /* NULL is fine; files stay */

/* One round over all local pods: those for which neither keep() nor put() is called lose theirs.
 * Only what changes is written; a failure is told by end(), and tried again in the next round. */
void status_files_begin(struct status_files *files);
void status_files_put(struct status_files *files, const struct workload *workload);
/* Not in place now, for a change is under way: a file that is there stays. */
void status_files_keep(struct status_files *files, const struct workload *workload);
MUST_CHECK bool status_files_end(struct status_files *files, struct err *err);
