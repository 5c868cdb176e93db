/* Postings: for each label that a group has or a selector is anchored at, both. Used by
 * label_index.c and label_selectors.c. */
#include "felix/calc/label_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/hash.h"

uint64_t
label_mix(uint64_t hash, const char *text)
{
    hash = (hash << 7 | hash >> 57) ^ hash_bytes(text, strlen(text));
    return hash * 0x9e3779b97f4a7c15ULL;
}

uint32_t
label_mixed(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

/* ---- postings ---------------------------------------------------------------------------------
 */

static bool
is_posting(const struct hashed *thing, const void *key)
{
    const struct posting *posting = (const struct posting *)thing;
    const struct label *label = key;

    return strcmp(posting->key, label->key) == 0 && strcmp(posting->value, label->value) == 0;
}

static struct posting *
posting_new(struct label_index *index, const struct label *label, uint32_t hash)
{
    size_t key_len = strlen(label->key) + 1, value_len = strlen(label->value) + 1;
    struct posting *posting = xcalloc(1, sizeof *posting + key_len + value_len);

    posting->hashed.hash = hash;
    memcpy(posting->key, label->key, key_len);
    memcpy(posting->key + key_len, label->value, value_len);
    posting->value = posting->key + key_len;
    hashed_add(&index->postings, &posting->hashed);
    return posting;
}

struct posting *
posting_find(struct label_index *index, const char *key, const char *value, bool make)
{
    /* Cast away const: it is only read. */
    const struct label label = {(char *)(uintptr_t)key, (char *)(uintptr_t)value};
    uint32_t hash = label_mixed(label_mix(label_mix(0, key), value));
    struct posting *posting = hashed_find(&index->postings, hash, is_posting, &label);

    return posting != NULL || !make ? posting : posting_new(index, &label, hash);
}

void
posting_free(void *value)
{
    struct posting *posting = value;

    VEC_DONE(&posting->groups);
    VEC_DONE(&posting->anchored);
    free(posting);
}

void
posting_put_away(struct label_index *index, struct posting *posting)
{
    if (posting->groups.n == 0 && posting->anchored.n == 0) {
        hashed_remove(&index->postings, &posting->hashed);
        posting_free(posting);
    }
}

void
group_post(struct label_index *index, struct group *group)
{
    group->posts = xcalloc(group->effective.n + 1, sizeof *group->posts);
    for (uint32_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        group->posts[i] = (uint32_t)posting->groups.n;
        START_SMALL(&posting->groups);
        VEC_PUSH(&posting->groups, (struct post){.group = group, .label = i});
    }
}

void
group_unpost(struct label_index *index, struct group *group)
{
    for (size_t i = 0; i < group->effective.n; i++) {
        const struct label *label = &group->effective.items[i];
        struct posting *posting = posting_find(index, label->key, label->value, true);
        uint32_t at = group->posts[i];
        VEC_REMOVE_SWAP(&posting->groups, at);
        if (at < posting->groups.n) {
            const struct post *moved = &posting->groups.items[at];
            moved->group->posts[moved->label] = at;
        }
        posting_put_away(index, posting);
    }
    free(group->posts);
    group->posts = NULL;
}
