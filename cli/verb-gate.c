/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        LISTEN,
        EXTERNAL,
        YES,
};

static const Option on_options[] = {
        [LISTEN] = {"listen", "ADDRESS:PORT", "where to listen, such as 127.0.0.1:8443 or 0.0.0.0:8443", NULL},
        [EXTERNAL] = {"external", "URL", "how others reach it, such as https://wallet.example:8443", NULL},
        [YES] = {"yes", NULL, "do not ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static bool is_local(const char *listen) {
        return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]:", 6) == 0 || strncmp(listen, "localhost:", 10) == 0;
}

static int run_on(Cli *cli) {
        const char *listen = cli_option(cli, LISTEN), *external = cli_option(cli, EXTERNAL);
        cleanup(reply_done) Reply reply = {0};
        json_t *parameters;
        int r;

        if (!listen)
                return cli_usage(cli, "Say where to listen: --listen 127.0.0.1:8443.");
        if (!is_local(listen) && !cli_option(cli, YES) && !cli->json && isatty(STDIN_FILENO)) {
                output_say(stderr, 0, "Other machines will be able to reach %s. Without a grant and its key they get nothing.", listen);
                r = cli_confirm(cli, "Open the gate?");
                if (r != 0)
                        return r;
        }

        parameters = json_pack("{s:s}", "listen", listen);
        if (external)
                (void) json_object_set_new(parameters, "external", json_string(external));
        r = cli_call(cli, "GateOn", parameters, false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);

        printf("The gate is %sopen%s at %s", paint(stdout, PAINT_WARNING), unpaint(stdout), message_text(reply.parameters, "address", listen));
        if (json_array_size(json_object_get(reply.parameters, "urls")) > 0) {
                fputs(", reached by ", stdout);
                output_list(stdout, json_object_get(reply.parameters, "urls"));
        }
        puts(".");
        output_say(stdout, 0, "Whoever has a grant can fetch what it permits. Grants that you make from now on name this address.\n"
                              "Close it: carewallet gate off");
        return EXIT_DONE;
}

static int run_off(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "GateOff", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        puts("The gate is closed: nobody can fetch anything. Grants stay as they are.");
        return EXIT_DONE;
}

const Verb verb_gate_on = {
        .name = "gate on",
        .group = "Gate",
        .operands = "",
        .summary = "Open the door at which grants are redeemed",
        .options = on_options,
        .run = run_on,
};

const Verb verb_gate_off = {
        .name = "gate off",
        .group = "Gate",
        .operands = "",
        .summary = "Close it",
        .run = run_off,
};
