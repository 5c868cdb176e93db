/* Wanted and installed members per set, and the members whose state may differ. */
#include "felix/dataplane/sets.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/table.h"

struct set {
    struct kset_spec spec;
    char name[KSET_NAME_MAX];
    struct table *want;      /* member bytes -> the set (any pointer) */
    struct table *installed; /* as acknowledged or read back */
    kset_member_vec dirty;   /* may hold one twice; apply looks at both tables */
    bool must_read;
    bool was_read; /* once: from then on differences are drift */
};

struct sets {
    struct kset_link *link;
    VEC(struct set *) all;
    bool only_add;
    uint64_t n_repaired;
};

struct sets *
sets_new(struct kset_link *link)
{
    struct sets *sets = NEW(struct sets);

    sets->link = link;
    return sets;
}

void
sets_free(struct sets *sets)
{
    if (!sets) {
        return;
    }
    VEC_FOREACH (&sets->all, it) {
        table_free((*it)->want, NULL);
        table_free((*it)->installed, NULL);
        VEC_DONE(&(*it)->dirty);
        free(*it);
    }
    VEC_DONE(&sets->all);
    free(sets);
}

struct set *
sets_define(struct sets *sets, const char *name, enum kset_type type, uint8_t family,
            uint32_t max_members)
{
    struct set *set = NEW(struct set);

    snprintf(set->name, sizeof set->name, "cali%u0%s", family, name);
    set->spec = (struct kset_spec){
        .name = set->name, .type = type, .family = family, .max_members = max_members};
    set->want = table_new();
    set->installed = table_new();
    set->must_read = true;
    VEC_PUSH(&sets->all, set);
    return set;
}

/* Members are compared as bytes: what comes in may have garbage behind the interface's name. */
static struct kset_member
clean(const struct kset_member *member)
{
    struct kset_member copy;

    memset(&copy, 0, sizeof copy);
    copy.prefix.ip.family = member->prefix.ip.family;
    memcpy(copy.prefix.ip.bytes, member->prefix.ip.bytes, sizeof copy.prefix.ip.bytes);
    copy.prefix.len = member->prefix.len;
    snprintf(copy.iface, sizeof copy.iface, "%s", member->iface);
    return copy;
}

/* hash:net cannot hold the range of everything; its two halves say the same, and what is wanted has
 * to look like what is read back. Returns how many there are. */
static size_t
parts_of(const struct kset_member *member, struct kset_member ret_parts[2])
{
    ret_parts[0] = clean(member);
    if (member->prefix.len > 0) {
        return 1;
    }
    ret_parts[0].prefix.len = 1;
    ret_parts[1] = ret_parts[0];
    ret_parts[1].prefix.ip.bytes[0] = 0x80;
    return 2;
}

void
set_want(struct set *set, const struct kset_member *member)
{
    struct kset_member parts[2];
    size_t n = parts_of(member, parts);

    for (size_t i = 0; i < n; i++) {
        if (!table_put_bytes(set->want, &parts[i], sizeof parts[i], set)) {
            VEC_PUSH(&set->dirty, parts[i]);
        }
    }
}

void
set_unwant(struct set *set, const struct kset_member *member)
{
    struct kset_member parts[2];
    size_t n = parts_of(member, parts);

    for (size_t i = 0; i < n; i++) {
        if (table_take_bytes(set->want, &parts[i], sizeof parts[i])) {
            VEC_PUSH(&set->dirty, parts[i]);
        }
    }
}

void
set_want_all(struct set *set, const struct kset_member *members, size_t n)
{
    struct table *keep = table_new();

    for (size_t i = 0; i < n; i++) {
        struct kset_member parts[2];
        size_t n_parts = parts_of(&members[i], parts);
        for (size_t k = 0; k < n_parts; k++) {
            table_put_bytes(keep, &parts[k], sizeof parts[k], set);
        }
        set_want(set, &members[i]);
    }
    TABLE_FOREACH (set->want, entry) {
        struct kset_member key;
        memcpy(&key, table_key(entry), sizeof key);
        if (!table_get_bytes(keep, &key, sizeof key)) {
            set_unwant(set, &key);
        }
    }
    table_free(keep, NULL);
}

bool
set_wants(const struct set *set, const struct kset_member *member)
{
    struct kset_member key = clean(member);

    return table_get_bytes(set->want, &key, sizeof key);
}

bool
set_holds(const struct set *set, const struct kset_member *member)
{
    struct kset_member key = clean(member);

    return table_get_bytes(set->installed, &key, sizeof key);
}

size_t
set_count(const struct set *set)
{
    return table_count(set->want);
}

static void
note_read(struct sets *sets, struct set *set, const struct kset_state *state)
{
    struct table *installed = table_new();

    VEC_FOREACH (&state->members, member) {
        struct kset_member key = clean(member);
        table_put_bytes(installed, &key, sizeof key, set);
        if (!table_get_bytes(set->want, &key, sizeof key)) {
            VEC_PUSH(&set->dirty, key);
        }
    }
    TABLE_FOREACH (set->want, entry) {
        if (!table_get_bytes(installed, table_key(entry), table_key_len(entry))) {
            struct kset_member key;
            memcpy(&key, table_key(entry), sizeof key);
            VEC_PUSH(&set->dirty, key);
            sets->n_repaired +=
                table_get_bytes(set->installed, table_key(entry), table_key_len(entry)) != NULL;
        }
    }
    sets->n_repaired += set->was_read && !state->exists;
    table_free(set->installed, NULL);
    set->installed = installed;
}

/* A set of that name but another size: members go into a new one, which takes the name by a swap,
 * so that rules never see an empty set. The kernel does not swap sets of different types; such a
 * one is made anew, which it refuses while a rule refers to it. */
static bool
replace_set(struct sets *sets, struct set *set, bool can_swap, struct err *err)
{
    static const char temporary[] = "cali4t0";
    struct kset_spec spec = set->spec;
    kset_member_vec members = VEC_INIT;

    spec.name = can_swap ? temporary : set->name;
    spec.n_expected = (uint32_t)table_count(set->want);
    TABLE_FOREACH (set->want, entry) {
        struct kset_member key;
        memcpy(&key, table_key(entry), sizeof key);
        VEC_PUSH(&members, key);
    }
    bool good = kset_destroy(sets->link, spec.name, err) && kset_create(sets->link, &spec, err) &&
                kset_add(sets->link, &spec, members.items, members.n, err);
    if (good && can_swap) {
        good = kset_swap(sets->link, temporary, set->name, err) &&
               kset_destroy(sets->link, temporary, err);
    }
    VEC_DONE(&members);
    return good;
}

static bool
read_back(struct sets *sets, struct set *set, struct err *err)
{
    struct kset_state state;

    if (!kset_read(sets->link, set->name, &state, err)) {
        return false;
    }
    bool is_same_type =
        strcmp(state.type, kset_type_name(set->spec.type)) == 0 && state.family == set->spec.family;
    if (state.exists && (!is_same_type || state.max_members != set->spec.max_members)) {
        kset_state_done(&state);
        if (!replace_set(sets, set, is_same_type, err) ||
            !kset_read(sets->link, set->name, &state, err)) {
            return false;
        }
    }
    if (!state.exists && sets->only_add) {
        return err_set(err, "ipset %s is not there yet", set->name);
    }
    if (!state.exists) {
        set->spec.n_expected = (uint32_t)table_count(set->want);
        if (!kset_create(sets->link, &set->spec, err)) {
            return false;
        }
    }
    note_read(sets, set, &state);
    kset_state_done(&state);
    set->must_read = false;
    set->was_read = true;
    return true;
}

static void
collect(const struct set *set, kset_member_vec *add, kset_member_vec *del)
{
    VEC_FOREACH (&set->dirty, member) {
        bool wanted = table_get_bytes(set->want, member, sizeof *member);
        bool installed = table_get_bytes(set->installed, member, sizeof *member);
        if (wanted && !installed) {
            VEC_PUSH(add, *member);
        } else if (!wanted && installed) {
            VEC_PUSH(del, *member);
        }
    }
}

static bool
apply_set(struct sets *sets, struct set *set, struct err *err)
{
    kset_member_vec add = VEC_INIT;
    kset_member_vec del = VEC_INIT;

    if (set->must_read && !read_back(sets, set, err)) {
        return false;
    }
    collect(set, &add, &del);
    if (sets->only_add) {
        del.n = 0;
    }
    bool good = kset_add(sets->link, &set->spec, add.items, add.n, err) &&
                kset_delete(sets->link, &set->spec, del.items, del.n, err);
    if (good) {
        VEC_FOREACH (&add, member) {
            table_put_bytes(set->installed, member, sizeof *member, set);
        }
        VEC_FOREACH (&del, member) {
            table_take_bytes(set->installed, member, sizeof *member);
        }
        /* What may not be deleted yet is found again by reading back. */
        set->must_read = sets->only_add;
        set->dirty.n = 0;
    } else {
        /* Perhaps somebody destroyed or changed the set: believe nothing. */
        set->must_read = true;
    }
    VEC_DONE(&add);
    VEC_DONE(&del);
    return good;
}

bool
sets_apply(struct sets *sets, struct err *err)
{
    bool good = true;

    VEC_FOREACH (&sets->all, it) {
        if (!(*it)->must_read && (*it)->dirty.n == 0) {
            continue;
        }
        /* The second try reads the set back first: a set that somebody destroyed is made again. */
        if (!apply_set(sets, *it, NULL) && !apply_set(sets, *it, good ? err : NULL)) {
            good = false;
        }
    }
    return good;
}

void
sets_only_add(struct sets *sets, bool only_add)
{
    sets->only_add = only_add;
}

void
sets_resync(struct sets *sets)
{
    VEC_FOREACH (&sets->all, it) {
        (*it)->must_read = true;
    }
}

uint64_t
sets_n_repaired(const struct sets *sets)
{
    return sets->n_repaired;
}

bool
sets_exist(struct sets *sets)
{
    VEC_FOREACH (&sets->all, it) {
        struct kset_state state;
        if (!kset_read(sets->link, (*it)->name, &state, NULL)) {
            return false;
        }
        bool exists = state.exists;
        kset_state_done(&state);
        if (!exists) {
            return false;
        }
    }
    return true;
}
