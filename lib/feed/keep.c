/* The tables of wanted members, for json_prune(). */
#include "lib/feed/keep.h"

#include "lib/model/pod_asks.h"

#define KEEP_TEXT(key) JSON_KEEP(key, NULL),

static const struct json_keep pod_annotations[] = {
    JSON_KEEP("cni.projectcalico.org/podIPs", NULL),
    JSON_KEEP("cni.projectcalico.org/podIP", NULL),
    POD_ASKS_ANNOTATIONS(KEEP_TEXT) JSON_KEEP_END,
};
static const struct json_keep pod_metadata[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("namespace", NULL),
    JSON_KEEP("labels", NULL),
    JSON_KEEP("annotations", pod_annotations),
    JSON_KEEP("deletionTimestamp", NULL),
    JSON_KEEP("resourceVersion", NULL),
    JSON_KEEP_END,
};
static const struct json_keep pod_port[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("containerPort", NULL),
    JSON_KEEP("protocol", NULL),
    JSON_KEEP_END,
};
static const struct json_keep pod_container[] = {
    JSON_KEEP("ports", pod_port),
    JSON_KEEP("restartPolicy", NULL),
    JSON_KEEP_END,
};
static const struct json_keep pod_spec[] = {
    JSON_KEEP("nodeName", NULL),
    JSON_KEEP("hostNetwork", NULL),
    JSON_KEEP("serviceAccountName", NULL),
    JSON_KEEP("containers", pod_container),
    JSON_KEEP("initContainers", pod_container),
    JSON_KEEP_END,
};
static const struct json_keep pod_status[] = {
    JSON_KEEP("phase", NULL),
    JSON_KEEP("podIP", NULL),
    JSON_KEEP("podIPs", NULL),
    JSON_KEEP_END,
};
static const struct json_keep pod[] = {
    JSON_KEEP("metadata", pod_metadata),
    JSON_KEEP("spec", pod_spec),
    JSON_KEEP("status", pod_status),
    JSON_KEEP_END,
};

static const struct json_keep any_metadata[] = {
    JSON_KEEP("name", NULL),        JSON_KEEP("namespace", NULL),       JSON_KEEP("labels", NULL),
    JSON_KEEP("annotations", NULL), JSON_KEEP("resourceVersion", NULL), JSON_KEEP_END,
};
static const struct json_keep node_status[] = {
    JSON_KEEP("addresses", NULL),
    JSON_KEEP_END,
};
static const struct json_keep node[] = {
    JSON_KEEP("metadata", any_metadata),
    JSON_KEEP("spec", NULL),
    JSON_KEEP("status", node_status),
    JSON_KEEP_END,
};
static const struct json_keep resource[] = {
    JSON_KEEP("metadata", any_metadata),
    JSON_KEEP("spec", NULL),
    JSON_KEEP_END,
};

/* Names and labels are all there is to a namespace or a service account. */
static const struct json_keep labelled_metadata[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("namespace", NULL),
    JSON_KEEP("labels", NULL),
    JSON_KEEP("resourceVersion", NULL),
    JSON_KEEP_END,
};
static const struct json_keep labelled[] = {
    JSON_KEEP("metadata", labelled_metadata),
    JSON_KEEP_END,
};

static const struct json_keep slice_labels[] = {
    JSON_KEEP("kubernetes.io/service-name", NULL),
    JSON_KEEP_END,
};
static const struct json_keep slice_metadata[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("namespace", NULL),
    JSON_KEEP("labels", slice_labels),
    JSON_KEEP("resourceVersion", NULL),
    JSON_KEEP_END,
};
static const struct json_keep slice_endpoint[] = {
    JSON_KEEP("addresses", NULL),
    JSON_KEEP_END,
};
static const struct json_keep slice[] = {
    JSON_KEEP("metadata", slice_metadata),
    JSON_KEEP("addressType", NULL),
    JSON_KEEP("endpoints", slice_endpoint),
    JSON_KEEP("ports", NULL),
    JSON_KEEP_END,
};

/* Annotations of a policy hold its text a second time (what kubectl applied last). */
static const struct json_keep policy_metadata[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("namespace", NULL),
    JSON_KEEP("resourceVersion", NULL),
    JSON_KEEP_END,
};
static const struct json_keep policy[] = {
    JSON_KEEP("metadata", policy_metadata),
    JSON_KEEP("spec", NULL),
    JSON_KEEP_END,
};

/* Kinds without a row are small: metadata and spec, whole. */
static const struct json_keep *const tables[N_KINDS] = {
    [KIND_POD] = pod,
    [KIND_NODE] = node,
    [KIND_NAMESPACE] = labelled,
    [KIND_SERVICEACCOUNT] = labelled,
    [KIND_ENDPOINTSLICE] = slice,
};

const struct json_keep *
feed_keep(enum kind kind)
{
    if (kind_is_policy(kind)) {
        return policy;
    }
    return tables[kind] != NULL ? tables[kind] : resource;
}
