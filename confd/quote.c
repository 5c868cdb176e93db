/* Text from outside, made fit for BIRD's configuration. Used by confd/context. */
#include "confd/quote.h"

#include <stdint.h>
#include <string.h>

static bool
is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* FNV-1a: the hash is part of a name that operators see, so it must not change between runs. */
static uint32_t
stable_hash(const char *text)
{
    uint32_t hash = 2166136261u;

    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    }
    return hash;
}

void
quote_symbol(const char *prefix, const char *name, struct str *out)
{
    AUTO(str) struct str symbol = STR_INIT;
    bool is_changed = false, needs_quotes = false;

    str_add(&symbol, prefix);
    for (const char *c = name; *c != '\0'; c++) {
        if (is_plain(*c)) {
            str_add_char(&symbol, *c);
        } else if (*c == '-' || *c == '.' || *c == ':') {
            str_add_char(&symbol, *c);
            needs_quotes = true;
        } else {
            str_add_char(&symbol, '_');
            is_changed = true;
        }
    }
    if (is_changed || symbol.len > QUOTE_SYMBOL_MAX) {
        size_t keep = QUOTE_SYMBOL_MAX - 9;
        if (symbol.len < keep) {
            keep = symbol.len;
        }
        symbol.len = keep;
        symbol.text[keep] = '\0';
        str_addf(&symbol, "_%08x", stable_hash(name));
    }
    str_addf(out, needs_quotes ? "'%s'" : "%s", str_text(&symbol));
}

void
quote_comment(const char *text, struct str *out)
{
    for (size_t n = 0; text[n] != '\0'; n++) {
        if (n == 200) {
            str_add(out, "...");
            return;
        }
        str_add_char(out, text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?');
    }
}

bool
quote_string_ok(const char *text, struct err *err)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((uint8_t)*c < 0x20 || *c == 0x7f || *c == '"') {
            return err_set(err, "'%.64s' cannot be written into BIRD's configuration", text);
        }
    }
    return true;
}
