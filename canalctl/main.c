/* canalctl: what people ask the felix of a node. Options, then the command of the table. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canalctl/command.h"

static const struct ctl_command commands[] = {
    {"status", "", "Whether the node is programmed, and what holds it up.", 0, 0, status_run},
    {"endpoints", "", "The pods of this node and whether they are programmed.", 0, 0,
     endpoints_run},
    {"policies", "[NAME]", "Policies in force here with the counters of their rules.", 0, 1,
     policies_run},
    {"explain", "FROM TO PROTOCOL[/PORT]",
     "Which rules decide about a connection; FROM, TO: namespace/pod or an address.", 3, 3,
     explain_run},
    {"drops", "[-f]", "Packets that policy denied; -f goes on.", 0, 0, drops_run},
};

static void
usage(FILE *out)
{
    fprintf(out, "Usage: canalctl [options] COMMAND\n\nAsks the canal-felix of this node.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        fprintf(out, "  %-9s %-24s %s\n", commands[i].name, commands[i].args, commands[i].help);
    }
    fprintf(out,
            "\n  -o json             the answer as JSON\n"
            "  -f                  drops: go on until interrupted\n"
            "  -4, -6              explain: which of a pod's addresses\n"
            "  --source-port PORT  explain: of the connection (else %d)\n"
            "  --socket PATH       felix's socket (else felix.sock in CANAL_RUN_DIR, /run/canal)\n"
            "  --help, --version\n"
            "\nExplain: tcp/80, udp/53, sctp/7777, icmp, icmp/TYPE/CODE, or a protocol's number.\n"
            "Exit codes: 0 allowed, or done; 1 denied, or not ready; 2 usage; 3 felix gave no "
            "answer;\n4 neither end of what is to be explained is on this node.\n",
            PROTO_SOURCE_PORT);
}

static const char *
default_socket(void)
{
    static char path[256];
    const char *dir = getenv("CANAL_RUN_DIR");

    snprintf(path, sizeof path, "%s/felix.sock", dir && *dir ? dir : "/run/canal");
    return path;
}

enum option_result {
    OPTION_TAKEN,
    OPTION_END_GOOD,
    OPTION_BAD,
};

static enum option_result
take_option(struct ctl *ctl, int option)
{
    switch (option) {
    case 'o':
        ctl->is_json = strcmp(optarg, "json") == 0;
        if (!ctl->is_json && strcmp(optarg, "text") != 0) {
            fprintf(stderr, "canalctl: -o json or -o text, not '%s'\n", optarg);
            return OPTION_BAD;
        }
        return OPTION_TAKEN;
    case 'f':
        ctl->is_follow = true;
        return OPTION_TAKEN;
    case '4':
    case '6':
        ctl->family = (uint8_t)(option - '0');
        return OPTION_TAKEN;
    case 'p':
        ctl->source_port = optarg;
        return OPTION_TAKEN;
    case 's':
        ctl->socket = optarg;
        return OPTION_TAKEN;
    case 'h':
        usage(stdout);
        return OPTION_END_GOOD;
    case 'v':
        printf("canalctl %s\n", CANAL_VERSION);
        return OPTION_END_GOOD;
    default:
        break; /* getopt has said what it does not know */
    }
    return OPTION_BAD;
}

static const struct ctl_command *
find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    fprintf(stderr, "canalctl: there is no command '%s'; canalctl --help lists them\n", name);
    return NULL;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"follow", no_argument, NULL, 'f'},
                                            {"source-port", required_argument, NULL, 'p'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    struct ctl ctl = {.socket = default_socket()};
    int option = 0;

    while ((option = getopt_long(argc, argv, "o:fh46", options, NULL)) != -1) {
        enum option_result result = take_option(&ctl, option);
        if (result != OPTION_TAKEN) {
            return result == OPTION_BAD ? CTL_USAGE : CTL_DONE;
        }
    }
    if (optind == argc) {
        usage(stderr);
        return CTL_USAGE;
    }
    const struct ctl_command *command = find_command(argv[optind]);
    if (!command) {
        return CTL_USAGE;
    }
    ctl.args = argv + optind + 1;
    ctl.n_args = argc - optind - 1;
    if (ctl.n_args < command->min_args || ctl.n_args > command->max_args) {
        fprintf(stderr, "canalctl: usage: canalctl %s %s\n", command->name, command->args);
        return CTL_USAGE;
    }
    return command->run(&ctl);
}
