/* Wanted members per set, and those of which the kernel may say something else. */
#include "felix/dataplane/sets.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/table.h"

/* Reading back is spread, and so is destroying: one turn of the loop must not take long. */
#define READ_BUDGET_US 10000
#define DESTROY_BUDGET_US 10000
/* The kernel (nft) lets go of a set some time after the rules that named it. When so many rounds
 * have destroyed none, somebody else's rules name those that are left. */
#define PATIENCE 10

struct set {
    struct sets *sets;
    struct kset_spec spec;
    char name[KSET_NAME_MAX];
    struct table *want;  /* member's bytes -> the set (any pointer) */
    struct table *dirty; /* those of which the kernel may say something else; likewise */
    bool must_read;      /* before anything is written */
    bool was_read;       /* once: from then on differences are drift */
};

/* Tables of sets by name. */
struct sets {
    struct kset_link *link;
    struct table *by_name;
    struct table *active;  /* with something to write, or to read first */
    struct table *due;     /* to be read back when there is time */
    struct table *dropped; /* names only; rules may still name them */
    struct table *doomed;  /* names only; to be destroyed */
    struct table *stuck;   /* names only; likewise, but rules of others name them */
    size_t n_in_vain;      /* rounds of destroying, one after the other */
    bool only_add;
    uint64_t n_repaired;
};

struct sets *
sets_new(struct kset_link *link)
{
    struct sets *sets = NEW(struct sets);

    sets->link = link;
    sets->by_name = table_new();
    sets->active = table_new();
    sets->due = table_new();
    sets->dropped = table_new();
    sets->doomed = table_new();
    sets->stuck = table_new();
    return sets;
}

static void
set_free(void *value)
{
    struct set *set = value;

    table_free(set->want, NULL);
    table_free(set->dirty, NULL);
    free(set);
}

void
sets_free(struct sets *sets)
{
    if (!sets) {
        return;
    }
    table_free(sets->active, NULL);
    table_free(sets->due, NULL);
    table_free(sets->dropped, NULL);
    table_free(sets->doomed, NULL);
    table_free(sets->stuck, NULL);
    table_free(sets->by_name, set_free);
    free(sets);
}

static void
activate(struct set *set)
{
    table_put(set->sets->active, set->name, set);
}

struct set *
sets_define(struct sets *sets, const char *name, enum kset_type type, uint8_t family,
            uint32_t max_members)
{
    struct set *set = NEW(struct set);

    snprintf(set->name, sizeof set->name, "cali%u0%s", family, name);
    set->sets = sets;
    set->spec = (struct kset_spec){
        .name = set->name, .type = type, .family = family, .max_members = max_members};
    set->want = table_new();
    set->dirty = table_new();
    set->must_read = true;
    table_put(sets->by_name, set->name, set);
    table_take(sets->dropped, set->name);
    table_take(sets->doomed, set->name);
    table_take(sets->stuck, set->name);
    activate(set);
    return set;
}

void
sets_drop(struct sets *sets, struct set *set)
{
    table_take(sets->by_name, set->name);
    table_take(sets->active, set->name);
    table_take(sets->due, set->name);
    table_put(sets->dropped, set->name, sets);
    set_free(set);
}

static void
doom_unknown(void *owner, const char *name)
{
    struct sets *sets = owner;

    if (!table_get(sets->by_name, name) && !table_get(sets->dropped, name)) {
        table_put(sets->doomed, name, sets);
    }
}

void
sets_release(struct sets *sets, bool with_leftovers)
{
    static const char *const ours[] = {"cali40", "cali60", "cali4t", "cali6t"};

    TABLE_FOREACH (sets->dropped, entry) {
        table_put(sets->doomed, table_key(entry), sets);
        table_take(sets->dropped, table_key(entry));
        sets->n_in_vain = 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(ours) && with_leftovers; i++) {
        /* What cannot be listed now stays: it does no harm. */
        (void)!kset_each_name(sets->link, ours[i], doom_unknown, sets, NULL);
    }
}

/* Those in 'names' until the time is up; what a rule still names goes behind the others. Returns
 * how many are gone. */
static size_t
destroy(struct sets *sets, struct table *names)
{
    uint64_t until = clock_monotonic_us() + DESTROY_BUDGET_US;
    size_t n_left = table_count(names), n_gone = 0;

    TABLE_FOREACH (names, entry) {
        if (n_left-- == 0 || clock_monotonic_us() > until) {
            break;
        }
        AUTO_FREE char *name = xstrdup(table_key(entry));
        table_take(names, name);
        if (kset_destroy(sets->link, name, NULL)) {
            n_gone++;
        } else {
            table_put(names, name, sets);
        }
    }
    return n_gone;
}

bool
sets_destroy_some(struct sets *sets)
{
    if (table_count(sets->doomed) == 0) {
        return false;
    }
    sets->n_in_vain = destroy(sets, sets->doomed) > 0 ? 0 : sets->n_in_vain + 1;
    if (sets->n_in_vain < PATIENCE) {
        return table_count(sets->doomed) > 0;
    }
    TABLE_FOREACH (sets->doomed, entry) {
        table_put(sets->stuck, table_key(entry), sets);
        table_take(sets->doomed, table_key(entry));
    }
    return false;
}

void
sets_retry_stuck(struct sets *sets)
{
    destroy(sets, sets->stuck);
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
    copy.protocol = member->protocol;
    copy.port = member->port;
    snprintf(copy.iface, sizeof copy.iface, "%s", member->iface);
    return copy;
}

/* The name at the end of a member is left out of keys where there is none: half of the memory. */
static size_t
key_len(const struct kset_member *member)
{
    size_t len = strlen(member->iface);

    return offsetof(struct kset_member, iface) + (len > 0 ? len + 1 : 0);
}

static struct kset_member
member_of_key(const struct table_entry *entry)
{
    struct kset_member member;

    memset(&member, 0, sizeof member);
    memcpy(&member, table_key(entry), table_key_len(entry));
    return member;
}

static bool
is_wanted(const struct set *set, const struct kset_member *key)
{
    return table_get_bytes(set->want, key, key_len(key)) != NULL;
}

static void
make_dirty(struct set *set, const struct kset_member *key)
{
    table_put_bytes(set->dirty, key, key_len(key), set);
    activate(set);
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
        if (!table_put_bytes(set->want, &parts[i], key_len(&parts[i]), set)) {
            make_dirty(set, &parts[i]);
        }
    }
}

void
set_unwant(struct set *set, const struct kset_member *member)
{
    struct kset_member parts[2];
    size_t n = parts_of(member, parts);

    for (size_t i = 0; i < n; i++) {
        if (table_take_bytes(set->want, &parts[i], key_len(&parts[i]))) {
            make_dirty(set, &parts[i]);
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
            table_put_bytes(keep, &parts[k], key_len(&parts[k]), set);
        }
        set_want(set, &members[i]);
    }
    TABLE_FOREACH (set->want, entry) {
        struct kset_member key = member_of_key(entry);
        if (!table_get_bytes(keep, &key, key_len(&key))) {
            set_unwant(set, &key);
        }
    }
    table_free(keep, NULL);
}

bool
set_wants(const struct set *set, const struct kset_member *member)
{
    struct kset_member key = clean(member);

    return is_wanted(set, &key);
}

bool
set_holds(const struct set *set, const struct kset_member *member)
{
    struct kset_member key = clean(member);

    return is_wanted(set, &key) && set->was_read && !set->must_read &&
           !table_get_bytes(set->dirty, &key, key_len(&key));
}

size_t
set_count(const struct set *set)
{
    return table_count(set->want);
}

/* What was dirty is expected to differ; anything else is drift. */
static void
note_difference(struct set *set, const struct kset_member *key)
{
    set->sets->n_repaired +=
        set->was_read && !table_get_bytes(set->dirty, key, key_len(key)) && !set->sets->only_add;
    make_dirty(set, key);
}

static void
note_read(struct sets *sets, struct set *set, const struct kset_state *state)
{
    struct table *present = table_new();

    VEC_FOREACH (&state->members, member) {
        struct kset_member key = clean(member);
        table_put_bytes(present, &key, key_len(&key), set);
        if (!is_wanted(set, &key)) {
            note_difference(set, &key);
        }
    }
    TABLE_FOREACH (set->want, entry) {
        if (!table_get_bytes(present, table_key(entry), table_key_len(entry))) {
            struct kset_member key = member_of_key(entry);
            note_difference(set, &key);
        }
    }
    sets->n_repaired += set->was_read && !state->exists;
    table_free(present, NULL);
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
        VEC_PUSH(&members, member_of_key(entry));
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
    TABLE_FOREACH (set->dirty, entry) {
        struct kset_member key = member_of_key(entry);
        if (is_wanted(set, &key)) {
            VEC_PUSH(add, key);
        } else if (!set->sets->only_add) {
            VEC_PUSH(del, key);
        }
    }
}

/* Members that are there already, or not there any more, are no error, so a member that came and
 * went since the last time costs a message and nothing else. */
static bool
apply_set(struct sets *sets, struct set *set, struct err *err)
{
    kset_member_vec add = VEC_INIT;
    kset_member_vec del = VEC_INIT;

    if (set->must_read && !read_back(sets, set, err)) {
        return false;
    }
    collect(set, &add, &del);
    bool good = kset_add(sets->link, &set->spec, add.items, add.n, err) &&
                kset_delete(sets->link, &set->spec, del.items, del.n, err);
    if (good) {
        VEC_FOREACH (&add, member) {
            table_take_bytes(set->dirty, member, key_len(member));
        }
        VEC_FOREACH (&del, member) {
            table_take_bytes(set->dirty, member, key_len(member));
        }
    } else {
        /* Perhaps somebody destroyed or changed the set: believe nothing. */
        set->must_read = true;
    }
    VEC_DONE(&add);
    VEC_DONE(&del);
    return good;
}

static void
activate_due(struct sets *sets)
{
    uint64_t until = clock_monotonic_us() + READ_BUDGET_US;

    TABLE_FOREACH (sets->due, entry) {
        struct set *set = table_value(entry);
        table_take(sets->due, set->name);
        set->must_read = true;
        activate(set);
        /* A failure is told when the set is written. */
        if (!read_back(sets, set, NULL) || clock_monotonic_us() > until) {
            break;
        }
    }
}

bool
sets_apply(struct sets *sets, struct err *err)
{
    bool good = true;

    activate_due(sets);
    TABLE_FOREACH (sets->active, entry) {
        struct set *set = table_value(entry);
        /* The second try reads the set back first: a set that somebody destroyed is made again. */
        if (apply_set(sets, set, NULL) || apply_set(sets, set, good ? err : NULL)) {
            if (table_count(set->dirty) == 0) {
                table_take(sets->active, set->name);
            }
        } else {
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
    TABLE_FOREACH (sets->by_name, entry) {
        table_put(sets->due, table_key(entry), table_value(entry));
    }
}

bool
sets_is_reading(const struct sets *sets)
{
    return table_count(sets->due) > 0;
}

size_t
sets_count(const struct sets *sets)
{
    return table_count(sets->by_name);
}

uint64_t
sets_n_repaired(const struct sets *sets)
{
    return sets->n_repaired;
}

size_t
sets_n_missing(const struct sets *sets)
{
    size_t n = 0;

    TABLE_FOREACH (sets->active, entry) {
        const struct set *set = table_value(entry);
        n += !set->was_read;
    }
    return n;
}

bool
sets_exist(struct sets *sets)
{
    TABLE_FOREACH (sets->by_name, entry) {
        struct kset_state state;
        if (!kset_read(sets->link, table_key(entry), &state, NULL)) {
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
