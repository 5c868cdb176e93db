/* The tables of wanted members, for json_prune(). */
#include "lib/feed/keep.h"

static const struct json_keep pod_metadata[] = {
    JSON_KEEP("name", NULL),
    JSON_KEEP("namespace", NULL),
    JSON_KEEP("labels", NULL),
    JSON_KEEP("resourceVersion", NULL),
    JSON_KEEP_END,
};
static const struct json_keep pod_spec[] = {
    JSON_KEEP("nodeName", NULL),
    JSON_KEEP("hostNetwork", NULL),
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

const struct json_keep *
feed_keep(enum kind kind)
{
    switch (kind) {
    case KIND_POD:
        return pod;
    case KIND_NODE:
        return node;
    case KIND_IPPOOL:
    case KIND_BGPCONFIGURATION:
    case KIND_BGPPEER:
    case N_KINDS:
        break;
    }
    return resource;
}
