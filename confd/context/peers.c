/* BGP sessions of this node: BGPPeers first, in order of their names, then the node mesh. One
 * session for each peer address; the first one wins. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confd/context/parts.h"
#include "confd/quote.h"
#include "lib/base/table.h"
#include "lib/selector/selector.h"

struct sessions {
    struct build *build;
    struct json_object *families; /* gets the static routes of reachableBy */
    struct json_object *list;
    struct table *by_address;      /* struct ip → the object that has it, for messages */
    struct table *node_of_address; /* struct ip → struct node */
};

/* One session to be. */
struct session {
    const struct bgp_peer *peer; /* NULL: node mesh */
    const struct node *node;     /* NULL: not a node of the cluster */
    bool is_reverse; /* this node is the one that peerSelector found: local settings are not its */
    struct ip address;
    uint16_t port;
    uint32_t as_number;
};

static const struct node *
node_at(const struct sessions *sessions, const struct ip *address)
{
    return table_get_bytes(sessions->node_of_address, address, sizeof(*address));
}

static void
addresses_index(struct sessions *sessions)
{
    static const uint8_t families[] = {4, 6};
    const struct build *build = sessions->build;
    char text[IP_TEXT_MAX];

    for (size_t i = 0; i < build->n_nodes; i++) {
        for (size_t f = 0; f < ARRAY_LEN(families); f++) {
            struct prefix address = node_address(build->nodes[i], families[f]);
            if (address.ip.family == 0) {
                continue;
            }
            const struct node *other = node_at(sessions, &address.ip);
            if (other != NULL) {
                issue(build, "Node %s: address %s is also the address of Node %s",
                      build->nodes[i]->name, ip_format(&address.ip, text), other->name);
                continue;
            }
            /* The table borrows; nothing is changed through it. */
            table_put_bytes(sessions->node_of_address, &address.ip, sizeof(address.ip),
                            (void *)(uintptr_t)build->nodes[i]);
        }
    }
}

static void
put_name(const struct session *session, struct json_object *item)
{
    AUTO(str) struct str raw = STR_INIT;
    AUTO(str) struct str name = STR_INIT;

    if (session->peer != NULL) {
        str_add(&raw, session->peer->name);
    }
    /* '_' is in no Kubernetes name, so the parts cannot run together. */
    if (session->node != NULL && (session->peer == NULL || session->peer->peer_ip.family == 0)) {
        str_addf(&raw, "%s%s%s", raw.len > 0 ? "_" : "", session->node->name,
                 session->address.family == 6 ? "_6" : "");
    }
    quote_symbol(session->peer != NULL ? "peer_" : "mesh_", str_text(&raw), &name);
    put_text(item, "name", str_text(&name));
    if (session->peer != NULL && session->node != NULL) {
        put_origin(item, "BGPPeer %s, Node %s", session->peer->name, session->node->name);
    } else if (session->peer != NULL) {
        put_origin(item, "BGPPeer %s", session->peer->name);
    } else if (session->node != NULL) {
        put_origin(item, "Node %s, node mesh", session->node->name);
    }
}

/* Who hears what, see filters.conf. */
static const char *
export_word(const struct build *build, const struct session *session, bool is_internal)
{
    if (session->peer == NULL) {
        return "export_own";
    }
    if (!is_internal) {
        return "export_cluster";
    }
    return build->self->rr_cluster_id != NULL ? "export_reflected" : "export_own";
}

static void
put_channel(const struct build *build, const struct session *session, bool is_internal,
            struct json_object *item)
{
    enum next_hop_mode mode = session->peer != NULL ? session->peer->next_hop_mode : NEXT_HOP_AUTO;
    struct json_object *channels = new_list();
    struct json_object *channel = json_object_new_object();
    const char *next_hop = NULL;

    switch (mode) {
    case NEXT_HOP_AUTO:
        next_hop = is_internal ? NULL : "self";
        break;
    case NEXT_HOP_SELF:
        next_hop = "self";
        break;
    case NEXT_HOP_KEEP:
        next_hop = "keep";
        break;
    }
    put_text(channel, "family", family_name(session->address.family));
    put_text(channel, "next_hop", next_hop);
    put_text(channel, "export", export_word(build, session, is_internal));
    json_object_array_add(channels, channel);
    put(item, "channels", channels);
}

static void
put_reflection(const struct build *build, const struct session *session, bool is_internal,
               struct json_object *item)
{
    const char *id = build->self->rr_cluster_id;
    const char *other = session->node != NULL ? session->node->rr_cluster_id : NULL;
    struct json_object *cluster = NULL;
    bool is_reflector = id != NULL && is_internal && session->peer != NULL;

    if (is_reflector) {
        cluster = json_object_new_object();
        put_text(cluster, "id", id);
    }
    put(item, "rr_cluster", cluster);
    put_bool(item, "rr_client", is_reflector && (other == NULL || strcmp(other, id) != 0));
}

static void
put_times_and_limits(const struct build *build, const struct session *session,
                     struct json_object *item)
{
    const struct bgp_peer *peer = session->peer;
    uint64_t restart_ms = peer != NULL            ? peer->max_restart_ms
                          : build->global != NULL ? build->global->mesh_max_restart_ms
                                                  : 0;
    uint64_t restart_s = restart_ms > 0 ? (restart_ms + 999) / 1000 : RESTART_S;
    struct json_object *ttl = NULL, *allow = NULL;

    if (restart_s > 4095) {
        issue(build, "%s%s: restart time %llu s is more than BGP can say; 4095 s is used",
              peer != NULL ? "BGPPeer " : "BGPConfiguration default",
              peer != NULL ? peer->name : "", (unsigned long long)restart_s);
        restart_s = 4095;
    }
    put_int(item, "restart_s", (int64_t)restart_s);
    if (peer != NULL && peer->has_ttl_security) {
        ttl = json_object_new_object();
        put_int(ttl, "hops", peer->ttl_security);
    }
    put(item, "ttl_security", ttl);
    if (peer != NULL && peer->num_allowed_local_as > 0) {
        allow = json_object_new_object();
        put_int(allow, "count", peer->num_allowed_local_as);
    }
    put(item, "allow_local_as", allow);
}

static void
put_reachable(struct sessions *sessions, const struct session *session)
{
    if (session->peer == NULL || session->peer->reachable_by.family == 0 || session->is_reverse) {
        return;
    }
    struct json_object *family =
        json_object_array_get_idx(sessions->families, session->address.family == 4 ? 0 : 1);
    struct json_object *list = json_object_object_get(family, "reachable");
    struct json_object *route = json_object_new_object();
    put_ip(route, "address", &session->address);
    put_int(route, "bits", ip_bits(&session->address));
    put_ip(route, "gateway", &session->peer->reachable_by);
    put_origin(route, "BGPPeer %s, spec.reachableBy", session->peer->name);
    json_object_array_add(list, route);
    put_bool(family, "has_reachable", true);
}

static bool
is_strict_bind(const struct build *build)
{
    const struct bgp_configuration *from =
        build->per_node != NULL && build->per_node->bind_mode != NULL ? build->per_node
                                                                      : build->global;
    return from != NULL && from->bind_mode != NULL && strcmp(from->bind_mode, "NodeIP") == 0;
}

static bool
wants_no_source(const struct bgp_peer *peer)
{
    return peer != NULL && peer->has_source_address && strcmp(peer->source_address, "None") == 0;
}

/* Of two nodes one dials: the one whose address is the greater text, as Calico has it, so that in a
 * mixed cluster one of any two does. When both dial at the same moment, which is what happens after
 * a restart, the second connection can come when the first is established; BIRD takes it for
 * another restart and drops what it kept from before the first (RFC 4724, 4.2). */
static bool
is_dialled(const struct ip *own, const struct ip *peer)
{
    char own_text[IP_TEXT_MAX], peer_text[IP_TEXT_MAX];

    return strcmp(ip_format(peer, peer_text), ip_format(own, own_text)) > 0;
}

static void
session_add(struct sessions *sessions, const struct session *session)
{
    struct build *build = sessions->build;
    const struct bgp_peer *peer = session->peer;
    struct prefix own = node_address(build->self, session->address.family);
    uint32_t local_as = peer != NULL && peer->local_as_number != 0 && !session->is_reverse
                            ? peer->local_as_number
                            : build->self_as;
    bool is_internal = session->as_number == local_as;
    char text[IP_TEXT_MAX];

    if (ip_equal(&own.ip, &session->address)) {
        return; /* a global peer that is this node, or a duplicate address reported elsewhere */
    }
    if (own.ip.family == 0 && !wants_no_source(peer)) {
        if (peer != NULL && peer->peer_ip.family != 0) {
            issue(build,
                  "BGPPeer %s: spec.peerIP: this node has no IPv%u address to peer from; "
                  "left out",
                  peer->name, session->address.family);
        }
        return;
    }
    const char *before =
        table_get_bytes(sessions->by_address, &session->address, sizeof(session->address));
    if (before != NULL) {
        if (peer != NULL && peer->peer_ip.family != 0) {
            issue(build, "BGPPeer %s: spec.peerIP: %s is already a peer by BGPPeer %s; left out",
                  peer->name, ip_format(&session->address, text), before);
        }
        return;
    }
    table_put_bytes(sessions->by_address, &session->address, sizeof(session->address),
                    peer != NULL ? peer->name : session->node->name);

    struct json_object *item = json_object_new_object();
    put_name(session, item);
    put_ip(item, "address", &session->address);
    put_int(item, "port", session->port);
    put_int(item, "as_number", session->as_number);
    put_int(item, "local_as", local_as);
    put_int(item, "local_port", node_port(build, build->self));
    if (wants_no_source(peer)) {
        put_text(item, "source_address", NULL);
    } else {
        put_ip(item, "source_address", &own.ip);
    }
    put_bool(item, "strict_bind", is_strict_bind(build) && !wants_no_source(peer));
    put_bool(item, "is_outside", session->node == NULL);
    put_bool(item, "is_passive", session->node != NULL && is_dialled(&own.ip, &session->address));
    put_times_and_limits(build, session, item);
    put_reflection(build, session, is_internal, item);
    put_channel(build, session, is_internal, item);
    put_reachable(sessions, session);
    json_object_array_add(sessions->list, item);
}

/* Both addresses of a cluster node. */
static void
node_sessions_add(struct sessions *sessions, const struct bgp_peer *peer, const struct node *node,
                  bool is_reverse)
{
    static const uint8_t families[] = {4, 6};

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct prefix address = node_address(node, families[i]);
        if (address.ip.family == 0 || node_at(sessions, &address.ip) != node) {
            continue; /* has none, or shares it with another node, which is reported */
        }
        session_add(sessions, &(struct session){.peer = peer,
                                                .node = node,
                                                .is_reverse = is_reverse,
                                                .address = address.ip,
                                                .port = node_port(sessions->build, node),
                                                .as_number = node_as(sessions->build, node)});
    }
}

/* Selectors were parsed when the object was decoded; NULL selects everything. */
static bool
selects(const struct selector *selector, const struct node *node)
{
    return selector == NULL || selector_matches(selector, labels_lookup, &node->labels);
}

static struct selector *
selector_of(const char *text)
{
    struct selector *selector = NULL;

    return text != NULL && selector_parse(text, &selector, NULL) ? selector : NULL;
}

static bool
is_local_side(const struct bgp_peer *peer, const struct selector *selector, const struct node *node)
{
    return peer->node != NULL ? strcmp(peer->node, node->name) == 0 : selects(selector, node);
}

/* What is not built yet must not become a session without it. */
static bool
peer_is_possible(const struct build *build, const struct bgp_peer *peer)
{
    if (peer->password_secret_name != NULL) {
        issue(build,
              "BGPPeer %s: spec.password: passwords are not supported yet; the peer is left "
              "out rather than unprotected",
              peer->name);
        return false;
    }
    if (peer->n_filters > 0) {
        issue(build,
              "BGPPeer %s: spec.filters: BGPFilter is not supported yet; the peer is left "
              "out rather than unfiltered",
              peer->name);
        return false;
    }
    return true;
}

static void
peer_add(struct sessions *sessions, const struct bgp_peer *peer)
{
    struct build *build = sessions->build;
    struct selector *local = selector_of(peer->node_selector);
    struct selector *remote = selector_of(peer->peer_selector);
    bool is_ours = is_local_side(peer, local, build->self);
    bool is_theirs = remote != NULL && selects(remote, build->self);

    if ((is_ours || is_theirs) && peer_is_possible(build, peer)) {
        if (remote == NULL) {
            const struct node *node = node_at(sessions, &peer->peer_ip);
            uint16_t port = node != NULL ? node_port(build, node) : BGP_PORT;
            session_add(sessions,
                        &(struct session){.peer = peer,
                                          .node = node,
                                          .address = peer->peer_ip,
                                          .port = peer->peer_port ? peer->peer_port : port,
                                          .as_number = peer->as_number});
        }
        /* A session has two ends: nodes that peerSelector finds peer back. */
        for (size_t i = 0; remote != NULL && i < build->n_nodes; i++) {
            const struct node *node = build->nodes[i];
            if (node == build->self) {
                continue;
            }
            if (is_ours && selects(remote, node)) {
                node_sessions_add(sessions, peer, node, false);
            } else if (is_theirs && is_local_side(peer, local, node)) {
                node_sessions_add(sessions, peer, node, true);
            }
        }
    }
    selector_free(local);
    selector_free(remote);
}

/* Route reflectors have their own peerings and take no part in the mesh. */
static void
mesh_add(struct sessions *sessions)
{
    struct build *build = sessions->build;
    bool is_on = build->global == NULL || !build->global->has_node_mesh ||
                 build->global->is_node_mesh_enabled;

    if (!is_on || build->self->rr_cluster_id != NULL) {
        return;
    }
    if (build->global != NULL && build->global->has_mesh_password) {
        issue(build, "BGPConfiguration default: spec.nodeMeshPassword: passwords are not supported "
                     "yet; the node mesh is left out rather than unprotected");
        return;
    }
    for (size_t i = 0; i < build->n_nodes; i++) {
        if (build->nodes[i] != build->self && build->nodes[i]->rr_cluster_id == NULL) {
            node_sessions_add(sessions, NULL, build->nodes[i], false);
        }
    }
}

struct json_object *
peers_context(struct build *build, struct json_object *families)
{
    struct sessions sessions = {.build = build,
                                .families = families,
                                .list = new_list(),
                                .by_address = table_new(),
                                .node_of_address = table_new()};

    addresses_index(&sessions);
    for (size_t i = 0; i < build->n_peers; i++) {
        peer_add(&sessions, build->peers[i]);
    }
    mesh_add(&sessions);
    table_free(sessions.by_address, NULL);
    table_free(sessions.node_of_address, NULL);
    return sessions.list;
}
