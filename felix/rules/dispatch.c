/* The tree behind dispatch to pods. A node is a chain pair: the root, one per first character
 * behind the prefix, one per first two. Called when a local pod comes or goes. */
#include "felix/rules/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "felix/rules/policy_rules.h"
#include "felix/rules/render.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

#define LEVELS 2
#define IFNAME_MAX 15

typedef VEC(char *) name_vec;

struct node {
    char key[IFNAME_MAX + 1]; /* "" for the root, else the prefix with one or two characters */
    name_vec children;        /* keys, sorted */
    name_vec leaves;          /* names of interfaces, sorted */
    bool is_changed;          /* since the last dispatch_changes() */
    bool is_told;             /* dispatch_changes() gave its chains once */
};

struct dispatch {
    char prefix[IFNAME_MAX + 1];
    struct table *nodes; /* key -> struct node; those without rules stay until they are told */
};

static struct node *
node_at(struct dispatch *dispatch, const char *key)
{
    struct node *node = table_get(dispatch->nodes, key);

    if (!node) {
        node = NEW(struct node);
        snprintf(node->key, sizeof node->key, "%s", key);
        node->is_changed = true;
        table_put(dispatch->nodes, key, node);
    }
    return node;
}

static void
node_free(void *value)
{
    struct node *node = value;

    VEC_FOREACH (&node->children, name) {
        free(*name);
    }
    VEC_FOREACH (&node->leaves, name) {
        free(*name);
    }
    VEC_DONE(&node->children);
    VEC_DONE(&node->leaves);
    free(node);
}

struct dispatch *
dispatch_new(const char *workload_prefix)
{
    struct dispatch *dispatch = NEW(struct dispatch);

    snprintf(dispatch->prefix, sizeof dispatch->prefix, "%s", workload_prefix);
    dispatch->nodes = table_new();
    node_at(dispatch, "");
    return dispatch;
}

void
dispatch_free(struct dispatch *dispatch)
{
    if (dispatch) {
        table_free(dispatch->nodes, node_free);
        free(dispatch);
    }
}

/* Where 'name' is or belongs in the sorted names. */
static size_t
position(const name_vec *names, const char *name, bool *ret_found)
{
    size_t low = 0, high = names->n;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->items[middle], name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
names_put(name_vec *names, const char *name)
{
    bool found = false;
    size_t at = position(names, name, &found);

    if (!found) {
        VEC_PUSH(names, NULL);
        memmove(&names->items[at + 1], &names->items[at],
                (names->n - 1 - at) * sizeof names->items[0]);
        names->items[at] = xstrdup(name);
    }
    return !found;
}

static bool
names_remove(name_vec *names, const char *name)
{
    bool found = false;
    size_t at = position(names, name, &found);

    if (found) {
        free(names->items[at]);
        names->n--;
        memmove(&names->items[at], &names->items[at + 1], (names->n - at) * sizeof names->items[0]);
    }
    return found;
}

/* The key of the name's node at a level; a name too short for it stays at the level above. */
static bool
key_at(const struct dispatch *dispatch, const char *ifname, size_t level,
       char ret_key[IFNAME_MAX + 1])
{
    size_t len = level == 0 ? 0 : strlen(dispatch->prefix) + level;

    if (strlen(ifname) < len) {
        return false;
    }
    snprintf(ret_key, IFNAME_MAX + 1, "%.*s", (int)len, ifname);
    return true;
}

bool
dispatch_put(struct dispatch *dispatch, const char *ifname)
{
    struct node *node = NULL;
    char key[IFNAME_MAX + 1];

    if (!rules_ifname_is_usable(ifname) ||
        strncmp(ifname, dispatch->prefix, strlen(dispatch->prefix)) != 0) {
        return false;
    }
    for (size_t level = 0; level <= LEVELS && key_at(dispatch, ifname, level, key); level++) {
        struct node *child = node_at(dispatch, key);
        if (node && names_put(&node->children, key)) {
            node->is_changed = true;
        }
        node = child;
    }
    if (!names_put(&node->leaves, ifname)) {
        return false;
    }
    node->is_changed = true;
    return true;
}

static bool
is_empty(const struct node *node)
{
    return node->key[0] != '\0' && node->children.n == 0 && node->leaves.n == 0;
}

void
dispatch_remove(struct dispatch *dispatch, const char *ifname)
{
    struct node *path[LEVELS + 1];
    size_t depth = 0;
    char key[IFNAME_MAX + 1];

    while (depth <= LEVELS && key_at(dispatch, ifname, depth, key) &&
           (path[depth] = table_get(dispatch->nodes, key))) {
        depth++;
    }
    if (depth == 0 || !names_remove(&path[depth - 1]->leaves, ifname)) {
        return;
    }
    path[depth - 1]->is_changed = true;
    for (size_t i = depth - 1; i > 0 && is_empty(path[i]); i--) {
        names_remove(&path[i - 1]->children, path[i]->key);
        path[i - 1]->is_changed = true;
    }
}

static void
chain_name(const struct dispatch *dispatch, const char *key, bool is_from,
           char ret_name[CHAIN_NAME_MAX])
{
    const char *base = is_from ? DISPATCH_FROM : DISPATCH_TO;

    if (key[0] == '\0') {
        snprintf(ret_name, CHAIN_NAME_MAX, "%s", base);
    } else {
        snprintf(ret_name, CHAIN_NAME_MAX, "%s-%.2s", base, key + strlen(dispatch->prefix));
    }
}

static void
write_node(const struct dispatch *dispatch, const struct node *node, bool is_from,
           struct ruleset *set)
{
    char name[CHAIN_NAME_MAX];
    char option = is_from ? 'i' : 'o';
    struct chain *chain = NULL;

    chain_name(dispatch, node->key, is_from, name);
    chain = ruleset_chain(set, "filter", name);
    /* Gone to, not jumped to, at every level: the end of the pod's chain returns to where dispatch
     * was called, and never comes to the drop below. */
    VEC_FOREACH (&node->leaves, leaf) {
        enum direction direction = is_from ? EGRESS : INGRESS;
        chain_add(chain, "-%c %s -g %s", option, *leaf,
                  endpoint_chain_name(*leaf, false, USE_NORMAL, direction, name));
    }
    VEC_FOREACH (&node->children, child) {
        chain_name(dispatch, *child, is_from, name);
        chain_add(chain, "-%c %s+ -g %s", option, *child, name);
    }
    chain_add(chain, "-g cali-unknown-%s", is_from ? "from" : "to");
}

static void
write_pair(const struct dispatch *dispatch, const struct node *node, struct ruleset *set)
{
    write_node(dispatch, node, true, set);
    write_node(dispatch, node, false, set);
}

/* The node and what is under it. */
static void
write_tree(const struct dispatch *dispatch, const char *key, struct ruleset *set)
{
    const struct node *node = table_get(dispatch->nodes, key);

    write_pair(dispatch, node, set);
    VEC_FOREACH (&node->children, child) {
        write_tree(dispatch, *child, set);
    }
}

void
dispatch_chains(const struct dispatch *dispatch, struct ruleset *set)
{
    write_tree(dispatch, "", set);
}

void
dispatch_changes(struct dispatch *dispatch, struct ruleset *set,
                 void (*gone)(void *owner, const char *chain), void *owner)
{
    TABLE_FOREACH (dispatch->nodes, entry) {
        struct node *node = table_value(entry);
        if (node->is_changed && !is_empty(node)) {
            write_pair(dispatch, node, set);
            node->is_changed = false;
            node->is_told = true;
        }
    }
    TABLE_FOREACH (dispatch->nodes, entry) {
        struct node *node = table_value(entry);
        char name[CHAIN_NAME_MAX];
        if (!is_empty(node)) {
            continue;
        }
        for (int is_from = 0; is_from <= 1 && node->is_told; is_from++) {
            chain_name(dispatch, node->key, is_from, name);
            gone(owner, name);
        }
        table_take(dispatch->nodes, node->key);
        node_free(node);
    }
}
