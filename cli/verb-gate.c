/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "parse.h"

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
        cleanup(freep) char *urls = NULL;
        const char *port;
        json_t *parameters;
        int64_t n_port;
        size_t n_urls;
        FILE *memory;
        int r;

        port = listen ? strrchr(listen, ':') : NULL;
        if (!port || port == listen || parse_number(port + 1, 0, 65535, &n_port) != 0)
                return cli_usage(cli, "Say at which address and port to listen: --listen 127.0.0.1:8443.");
        r = cli_connect(cli); /* before the patient is asked for nothing */
        if (r != 0)
                return r;
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

        memory = open_memstream(&urls, &n_urls);
        if (!memory)
                return cli_trouble(cli, -ENOMEM, "The gate is open, but saying so failed");
        output_list(memory, json_object_get(reply.parameters, "urls"));
        if (fclose(memory) != 0)
                return cli_trouble(cli, -ENOMEM, "The gate is open, but saying so failed");
        output_say(stdout, 0, "The gate is %sopen%s at %s%s%s.\n"
                              "Whoever has a grant can fetch what it permits. Grants that you make from now on name this address.\n"
                              "Close it: carewallet gate off",
                   paint(stdout, PAINT_WARNING), unpaint(stdout), message_text(reply.parameters, "address", listen), n_urls > 0 ? ", reached by " : "", urls);
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
