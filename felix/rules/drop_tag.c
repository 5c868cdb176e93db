/* The text form of struct drop_tag: written into rules by this room, read from NFLOG messages by
 * felix/server/drops.c. */
#include "felix/rules/drop_tag.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/own.h"

static const char letters[N_DROP_REASONS + 1] = "RTNCUHSI";
static const char hex[] = "0123456789abcdef";

void
drop_tag_format(const struct drop_tag *tag, char ret_text[DROP_TAG_MAX])
{
    snprintf(ret_text, DROP_TAG_MAX, "canal:%c:%c:%u:%s", letters[tag->reason],
             tag->direction == INGRESS ? 'i' : 'e', tag->index, tag->id);
}

bool
drop_tag_parse(const char *text, struct drop_tag *ret_tag)
{
    struct drop_tag tag = {0};
    char again[DROP_TAG_MAX];
    char letter = '\0', direction = '\0';
    int end = 0;

    if (sscanf(text, "canal:%c:%c:%9u:%n", &letter, &direction, &tag.index, &end) != 3 ||
        end == 0) {
        return false;
    }
    const char *found = letter ? strchr(letters, letter) : NULL;
    size_t len = strlen(text + end);
    if (!found || len >= sizeof tag.id || strspn(text + end, hex) != len) {
        return false;
    }
    tag.reason = (enum drop_reason)(found - letters);
    tag.direction = direction == 'i' ? INGRESS : EGRESS;
    memcpy(tag.id, text + end, len);
    drop_tag_format(&tag, again);
    if (strcmp(again, text) != 0) { /* blanks, zeros in front */
        return false;
    }
    *ret_tag = tag;
    return true;
}
