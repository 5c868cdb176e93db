/* Wanted and known chains of one family, and the difference between them. felix/dataplane/iptables
 * runs the tools around it. */
#include "felix/rules/rules_state.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "felix/rules/chain_text.h"
#include "lib/base/alloc.h"
#include "lib/base/table.h"

/* A chain in a table, ours or a leftover. What is no longer wanted keeps its text, and so its
 * references, until it is taken out of the kernel. */
struct entry {
    char name[CHAIN_NAME_MAX];
    enum rules_table table;
    bool is_wanted;
    bool is_dirty;   /* in the table's list */
    bool is_planned; /* in the state's list */
    char *text;      /* NULL: a leftover, or only named by others */
    uint32_t n_refs; /* jumps to it in texts */
    char *refused;   /* the text that a drop stands for; NULL: none */

    /* the kernel's */
    bool is_there;
    bool is_odd; /* other rules than any we know */
    char *known; /* its rules, where they are not those of 'text'; NULL: they are, or it is odd */

    /* while learning */
    bool is_seen, is_same;
    const char *cursor;
};

struct seen_hook {
    char *line; /* "FORWARD -m comment ..." */
    char hash[CHAIN_NAME_MAX];
    bool is_below_others;
};

struct rules_of_table {
    struct table *entries;
    VEC(struct entry *) dirty;
    VEC(struct seen_hook) hooks; /* rules of other chains that are ours, as read */
    bool are_hooks_fresh;        /* since then nothing was planned */
};

struct rules_state {
    struct rules_of_table tables[N_RULES_TABLES];
    VEC(struct hook) hooks;
    VEC(struct entry *) planned;
    /* while learning */
    char builtin[CHAIN_NAME_MAX];
    bool has_others; /* rules of others, so far in this built-in chain */
};

static void
hook_hash(const struct hook *hook, char hash[RULE_HASH_LEN + 1])
{
    char chain[CHAIN_NAME_MAX];

    /* One that was inserted is not one that was appended, wherever it stands: a change of the mode
     * moves it. */
    snprintf(chain, sizeof chain, "%s%s", hook->builtin, hook->is_appended ? "+" : "");
    rule_hash(chain, hook->target, hash);
}

/* ---- entries
 * ------------------------------------------------------------------------------------------ */

static struct entry *
entry_get(struct rules_state *state, enum rules_table table, const char *name, size_t len)
{
    struct table *entries = state->tables[table].entries;
    struct entry *entry = table_get_bytes(entries, name, len);

    if (!entry) {
        entry = NEW(struct entry);
        entry->table = table;
        memcpy(entry->name, name, len < CHAIN_NAME_MAX ? len : CHAIN_NAME_MAX - 1);
        table_put_bytes(entries, name, len, entry);
    }
    return entry;
}

static void
entry_free(void *value)
{
    struct entry *entry = value;

    free(entry->text);
    free(entry->refused);
    free(entry->known);
    free(entry);
}

static void
forget_known(struct entry *entry)
{
    free(entry->known);
    entry->known = NULL;
}

static bool
entry_is_in_place(const struct entry *entry)
{
    if (!entry->is_wanted) {
        /* One that is still named cannot be deleted; emptied it would let pass what it stopped. */
        return !entry->is_there || entry->n_refs > 0;
    }
    return entry->is_there && !entry->is_odd && !entry->known;
}

static void
mark_dirty(struct rules_state *state, struct entry *entry)
{
    if (!entry->is_dirty) {
        entry->is_dirty = true;
        VEC_PUSH(&state->tables[entry->table].dirty, entry);
    }
}

/* Whatever looks like a jump to a chain of ours counts; one too many, in a comment, only keeps a
 * chain longer. */
static void
count_refs(struct rules_state *state, enum rules_table table, const char *text, bool is_added)
{
    for (const char *at = text; (at = strstr(at, " cali-")); at++) {
        size_t len = strcspn(at + 1, " \n");
        if (at < text + 2 || (memcmp(at - 2, "-j", 2) != 0 && memcmp(at - 2, "-g", 2) != 0) ||
            !rules_chain_is_ours(at + 1, len)) {
            continue;
        }
        struct entry *target = entry_get(state, table, at + 1, len);
        if (is_added) {
            target->n_refs++;
        } else if (--target->n_refs == 0 && !target->is_wanted) {
            mark_dirty(state, target);
        }
    }
}

/* Takes the text that has just been replaced: the kernel may have it still. */
static void
keep_known(struct entry *entry, char *old)
{
    if (old && entry->is_there && !entry->is_odd && !entry->known) {
        entry->known = old;
    } else {
        free(old);
    }
    if (entry->known && entry->text && strcmp(entry->known, entry->text) == 0) {
        forget_known(entry);
    }
}

/* Takes 'text'. */
static void
entry_set_text(struct rules_state *state, struct entry *entry, char *text)
{
    char *old = entry->text;

    /* Added before taken away: a target of both is not dirty in between. */
    if (text) {
        count_refs(state, entry->table, text, true);
    }
    entry->text = text;
    if (old) {
        count_refs(state, entry->table, old, false);
    }
    keep_known(entry, old);
}

/* ---- wanted
 * ------------------------------------------------------------------------------------------- */

/* A rule is one line, whatever came into it: what follows would be a command of its own. */
static void
make_single_lines(struct chain *chain)
{
    VEC_FOREACH (&chain->rules, rule) {
        for (char *at = *rule; (at = strpbrk(at, "\n\r"));) {
            *at = ' ';
        }
    }
}

static bool
want_chain(struct rules_state *state, struct chain *chain)
{
    enum rules_table index;
    size_t len = strlen(chain->name);

    if (!rules_table_find(chain->table, strlen(chain->table), &index) ||
        !rules_chain_is_ours(chain->name, len)) {
        return false;
    }
    struct entry *entry = entry_get(state, index, chain->name, len);
    make_single_lines(chain);
    bool is_equal = chain_text_is_equal(entry->refused ? entry->refused : entry->text, chain);
    if (is_equal && entry->is_wanted) {
        return false;
    }
    entry->is_wanted = true;
    free(entry->refused);
    entry->refused = NULL;
    if (!chain_text_is_equal(entry->text, chain)) {
        entry_set_text(state, entry, chain_text_new(chain));
    }
    mark_dirty(state, entry);
    return true;
}

bool
rules_state_want_chains(struct rules_state *state, struct ruleset *set)
{
    bool is_changed = false;

    VEC_FOREACH (&set->chains, chain) {
        is_changed |= want_chain(state, chain);
    }
    ruleset_done(set);
    return is_changed;
}

bool
rules_state_unwant_chain(struct rules_state *state, const char *table_name, const char *name)
{
    enum rules_table index;

    if (!rules_table_find(table_name, strlen(table_name), &index)) {
        return false;
    }
    struct entry *entry = table_get(state->tables[index].entries, name);
    if (!entry || !entry->is_wanted) {
        return false;
    }
    entry->is_wanted = false;
    mark_dirty(state, entry);
    return true;
}

bool
rules_state_refuse(struct rules_state *state, const char *name)
{
    struct chain drop = {0};
    bool is_changed = false;

    snprintf(drop.name, sizeof drop.name, "%s", name);
    chain_add(&drop, "-j DROP");
    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        struct entry *entry = table_get(state->tables[i].entries, name);
        if (entry && entry->is_wanted && !entry->refused) {
            entry->refused = xstrdup(entry->text);
            entry_set_text(state, entry, chain_text_new(&drop));
            mark_dirty(state, entry);
            is_changed = true;
        }
    }
    free(drop.rules.items[0]);
    VEC_DONE(&drop.rules);
    return is_changed;
}

static void
pardon(struct rules_state *state, struct entry *entry)
{
    char *text = entry->refused;

    entry->refused = NULL;
    entry_set_text(state, entry, text);
    mark_dirty(state, entry);
}

static bool
pardon_table(struct rules_state *state, const struct rules_of_table *table)
{
    VEC(struct entry *) refused = VEC_INIT;

    /* Found first: a text that is set may add entries for what it names. */
    TABLE_FOREACH (table->entries, item) {
        struct entry *entry = table_value(item);
        if (entry->refused && entry->is_wanted) {
            VEC_PUSH(&refused, entry);
        }
    }
    bool is_changed = refused.n > 0;
    VEC_FOREACH (&refused, entry) {
        pardon(state, *entry);
    }
    VEC_DONE(&refused);
    return is_changed;
}

bool
rules_state_pardon(struct rules_state *state)
{
    bool is_changed = false;

    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        is_changed |= pardon_table(state, &state->tables[i]);
    }
    return is_changed;
}

static bool
hooks_equal(const struct hook *a, const struct hook *b)
{
    return strcmp(a->table, b->table) == 0 && strcmp(a->builtin, b->builtin) == 0 &&
           strcmp(a->target, b->target) == 0 && a->is_appended == b->is_appended;
}

bool
rules_state_want_hooks(struct rules_state *state, const struct hook *hooks, size_t n)
{
    bool is_equal = state->hooks.n == n;

    for (size_t i = 0; is_equal && i < n; i++) {
        is_equal = hooks_equal(&state->hooks.items[i], &hooks[i]);
    }
    if (is_equal) {
        return false;
    }
    VEC_DONE(&state->hooks);
    for (size_t i = 0; i < n; i++) {
        VEC_PUSH(&state->hooks, hooks[i]);
    }
    return true;
}

/* ---- known
 * -------------------------------------------------------------------------------------------- */

static void
forget_hooks(struct rules_of_table *table)
{
    VEC_FOREACH (&table->hooks, hook) {
        free(hook->line);
    }
    VEC_DONE(&table->hooks);
}

static void
learn_own_rule(struct entry *entry, const struct saved_line *line)
{
    if (!entry->cursor || *entry->cursor == '\0' || !line->hash ||
        line->hash_len != RULE_HASH_LEN || memcmp(entry->cursor, line->hash, RULE_HASH_LEN) != 0) {
        entry->is_same = false;
        return;
    }
    entry->cursor = chain_text_next(entry->cursor);
}

/* A rule of somebody else's chain is ours when it carries our hash or leads into a chain of ours.
 */
static void
learn_other_rule(struct rules_state *state, const struct saved_line *line)
{
    struct seen_hook hook = {0};

    if (strlen(state->builtin) != line->chain_len ||
        memcmp(state->builtin, line->chain, line->chain_len) != 0) {
        snprintf(state->builtin, sizeof state->builtin, "%.*s", (int)line->chain_len, line->chain);
        state->has_others = false;
    }
    if (!line->hash && !line->leads_to_ours) {
        state->has_others = true;
        return;
    }
    hook.line = xstrndup(line->rule, line->rule_len);
    hook.is_below_others = state->has_others;
    snprintf(hook.hash, sizeof hook.hash, "%.*s", (int)line->hash_len,
             line->hash ? line->hash : "");
    VEC_PUSH(&state->tables[line->table].hooks, hook);
}

static void
learn_line(void *owner, const struct saved_line *line)
{
    struct rules_state *state = owner;

    if (rules_chain_is_ours(line->chain, line->chain_len)) {
        struct entry *entry = entry_get(state, line->table, line->chain, line->chain_len);
        if (line->rule) {
            learn_own_rule(entry, line);
        } else {
            entry->is_seen = true;
        }
    } else if (line->rule) {
        learn_other_rule(state, line);
    } else {
        state->builtin[0] = '\0'; /* another table may have a chain of this name */
    }
}

static void
begin_learning(struct rules_of_table *table)
{
    forget_hooks(table);
    table->are_hooks_fresh = true;
    TABLE_FOREACH (table->entries, item) {
        struct entry *entry = table_value(item);
        entry->is_seen = false;
        entry->is_same = true;
        entry->cursor = entry->text;
        forget_known(entry);
    }
}

static void
drop_if_unused(struct rules_state *state, struct entry *entry)
{
    if (!entry->is_wanted && !entry->is_there && !entry->is_dirty && !entry->is_planned &&
        !entry->text && entry->n_refs == 0) {
        table_take(state->tables[entry->table].entries, entry->name);
        entry_free(entry);
    }
}

static void
end_learning(struct rules_state *state, const struct rules_of_table *table)
{
    TABLE_FOREACH (table->entries, item) {
        struct entry *entry = table_value(item);
        entry->is_there = entry->is_seen;
        entry->is_odd = !entry->is_same || !entry->cursor || *entry->cursor != '\0';
        entry->cursor = NULL;
        if (!entry_is_in_place(entry)) {
            mark_dirty(state, entry);
        }
        drop_if_unused(state, entry);
    }
}

bool
rules_state_learn(struct rules_state *state, const char *saved, struct err *err)
{
    if (!saved_rules_are_readable(saved, err)) {
        return false;
    }
    rules_state_failed(state);
    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        begin_learning(&state->tables[i]);
    }
    state->builtin[0] = '\0';
    saved_rules_read(saved, learn_line, state);
    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        end_learning(state, &state->tables[i]);
    }
    return true;
}

/* ---- the difference
 * ------------------------------------------------------------------------------- */

static size_t
hook_of_line(const struct rules_state *state, enum rules_table table, const struct seen_hook *seen)
{
    for (size_t i = 0; i < state->hooks.n; i++) {
        const struct hook *hook = &state->hooks.items[i];
        char expected[RULE_HASH_LEN + 1];
        size_t len = strlen(hook->builtin);
        hook_hash(hook, expected);
        if (strcmp(hook->table, rules_table_name(table)) == 0 &&
            strncmp(seen->line, hook->builtin, len) == 0 && seen->line[len] == ' ' &&
            strcmp(seen->hash, expected) == 0 && (hook->is_appended || !seen->is_below_others)) {
            return i;
        }
    }
    return state->hooks.n;
}

static void
write_hook(const struct hook *hook, struct str *out)
{
    char hash[RULE_HASH_LEN + 1];

    hook_hash(hook, hash);
    str_addf(out, "%s %s -m comment --comment \"cali:%s\" -j %s\n", hook->is_appended ? "-A" : "-I",
             hook->builtin, hash, hook->target);
}

/* What is appended keeps its order: behind one that is missing, all of its chain are appended anew.
 */
static void
unsee_behind_missing(const struct rules_state *state, enum rules_table table, bool *seen)
{
    for (size_t i = 0; i < state->hooks.n; i++) {
        const struct hook *missing = &state->hooks.items[i];
        if (seen[i] || !missing->is_appended ||
            strcmp(missing->table, rules_table_name(table)) != 0) {
            continue;
        }
        for (size_t k = i + 1; k < state->hooks.n; k++) {
            const struct hook *behind = &state->hooks.items[k];
            seen[k] &= !behind->is_appended || strcmp(behind->table, missing->table) != 0 ||
                       strcmp(behind->builtin, missing->builtin) != 0;
        }
    }
}

/* Hooks: one of each that is wanted and in its place stays, all others of ours go, missing ones
 * come. What is inserted comes in reverse, so that the first of two ends up on top. True when one
 * goes. */
static bool
write_hooks(const struct rules_state *state, enum rules_table table, struct str *out)
{
    const struct rules_of_table *rules = &state->tables[table];
    size_t n = state->hooks.n;
    AUTO_FREE bool *seen = xcalloc(n + 1, sizeof *seen);
    AUTO_FREE size_t *stays_for = xcalloc(rules->hooks.n, sizeof *stays_for);
    bool deletes = false;

    for (size_t i = 0; i < rules->hooks.n; i++) {
        size_t found = hook_of_line(state, table, &rules->hooks.items[i]);
        stays_for[i] = found < n && !seen[found] ? found : n;
        seen[found] = true;
    }
    unsee_behind_missing(state, table, seen);
    seen[n] = false;
    for (size_t i = 0; i < rules->hooks.n; i++) {
        if (!seen[stays_for[i]]) {
            str_addf(out, "-D %s\n", rules->hooks.items[i].line);
            deletes = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct hook *appended = &state->hooks.items[i];
        const struct hook *inserted = &state->hooks.items[n - 1 - i];
        bool is_here = strcmp(appended->table, rules_table_name(table)) == 0;
        if (is_here && appended->is_appended && !seen[i]) {
            write_hook(appended, out);
        }
        is_here = strcmp(inserted->table, rules_table_name(table)) == 0;
        if (is_here && !inserted->is_appended && !seen[n - 1 - i]) {
            write_hook(inserted, out);
        }
    }
    return deletes;
}

/* Moves what is really different to the planned ones. Taking a chain out may set others free to go:
 * they come to the end of the list that is walked. */
static void
take_dirty(struct rules_state *state, struct rules_of_table *table)
{
    for (size_t i = 0; i < table->dirty.n; i++) {
        struct entry *entry = table->dirty.items[i];
        entry->is_dirty = false;
        if (!entry->is_wanted && entry->n_refs == 0 && entry->text) {
            entry_set_text(state, entry, NULL);
        }
        if (entry_is_in_place(entry)) {
            drop_if_unused(state, entry);
        } else if (!entry->is_planned) {
            entry->is_planned = true;
            VEC_PUSH(&state->planned, entry);
        }
    }
    table->dirty.n = 0;
}

/* Rules that only come are added at their places; else the chain is written anew. The names of
 * those come before all rules, which may jump to any of them. */
static void
plan_chain(const struct entry *entry, struct plan *plan, struct str *names, struct str *rules)
{
    if (entry->is_wanted && entry->is_there && entry->known &&
        chain_text_write_additions(entry->name, entry->known, entry->text, rules)) {
        return;
    }
    /* Naming a chain with --noflush empties it (and makes it), inside the one commit of its table.
     */
    str_addf(names, ":%s - [0:0]\n", entry->name);
    plan->deletes |= entry->is_there;
    if (entry->is_wanted) {
        chain_text_write(entry->name, entry->text, rules);
    }
}

/* What is planned is known as soon as it is acknowledged; wants may come before that. */
static void
assume_done(struct entry *entry)
{
    entry->is_there = entry->is_wanted;
    entry->is_odd = false;
    forget_known(entry);
}

static void
plan_table(struct rules_state *state, enum rules_table index, struct plan *plan,
           struct str *ret_restore)
{
    struct rules_of_table *table = &state->tables[index];
    AUTO(str) struct str names = STR_INIT;
    AUTO(str) struct str rules = STR_INIT;
    size_t first = state->planned.n;

    take_dirty(state, table);
    for (size_t i = first; i < state->planned.n; i++) {
        plan_chain(state->planned.items[i], plan, &names, &rules);
    }
    if (table->are_hooks_fresh) {
        plan->deletes |= write_hooks(state, index, &rules);
        table->are_hooks_fresh = false;
        forget_hooks(table);
    }
    for (size_t i = first; i < state->planned.n; i++) {
        struct entry *entry = state->planned.items[i];
        /* Behind the rules: what goes has been emptied, because they may jump to one another. */
        if (!entry->is_wanted) {
            str_addf(&rules, "-X %s\n", entry->name);
        }
        assume_done(entry);
    }
    if (names.len + rules.len > 0) {
        str_addf(ret_restore, "*%s\n%s%sCOMMIT\n", rules_table_name(index), str_text(&names),
                 str_text(&rules));
        plan->n_tables++;
    }
}

struct plan
rules_state_plan(struct rules_state *state, struct str *ret_restore)
{
    struct plan plan = {0};

    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        plan_table(state, (enum rules_table)i, &plan, ret_restore);
    }
    return plan;
}

static void
forget_plan(struct rules_state *state)
{
    VEC_FOREACH (&state->planned, entry) {
        (*entry)->is_planned = false;
    }
}

void
rules_state_committed(struct rules_state *state)
{
    forget_plan(state);
    VEC_FOREACH (&state->planned, entry) {
        drop_if_unused(state, *entry);
    }
    VEC_DONE(&state->planned);
}

void
rules_state_failed(struct rules_state *state)
{
    forget_plan(state);
    VEC_DONE(&state->planned);
}

/* ---- the whole
 * -------------------------------------------------------------------------------------------- */

struct rules_state *
rules_state_new(void)
{
    struct rules_state *state = NEW(struct rules_state);

    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        state->tables[i].entries = table_new();
    }
    return state;
}

void
rules_state_free(struct rules_state *state)
{
    if (!state) {
        return;
    }
    for (size_t i = 0; i < N_RULES_TABLES; i++) {
        forget_hooks(&state->tables[i]);
        VEC_DONE(&state->tables[i].dirty);
        table_free(state->tables[i].entries, entry_free);
    }
    VEC_DONE(&state->hooks);
    VEC_DONE(&state->planned);
    free(state);
}

bool
rules_state_uses(const struct rules_state *state, enum rules_table table)
{
    return table_count(state->tables[table].entries) > 0;
}

bool
ruleset_diff(const struct ruleset *want, const char *saved, struct str *ret_restore,
             struct err *err)
{
    struct rules_state *state = rules_state_new();
    struct ruleset copy;

    ruleset_init(&copy);
    VEC_FOREACH (&want->chains, chain) {
        struct chain *into = ruleset_chain(&copy, chain->table, chain->name);
        VEC_FOREACH (&chain->rules, rule) {
            VEC_PUSH(&into->rules, xstrdup(*rule));
        }
    }
    rules_state_want_chains(state, &copy);
    rules_state_want_hooks(state, want->hooks.items, want->hooks.n);
    bool good = rules_state_learn(state, saved, err);
    if (good) {
        rules_state_plan(state, ret_restore);
    }
    rules_state_free(state);
    return good;
}
