/* Feeds files to a fuzz target, one call each, with any compiler. Linked in place of libFuzzer's
 * main. */
#include <stdint.h>
#include <stdio.h>

#include "lib/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
    struct err err = ERR_INIT;

    for (int i = 1; i < argc; i++) {
        AUTO(str) struct str input = STR_INIT;
        if (!file_read(argv[i], 16 * 1024 * 1024, &input, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)str_text(&input), input.len);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
