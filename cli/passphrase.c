/* SPDX-License-Identifier: Apache-2.0 */

#include "passphrase.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>

static volatile sig_atomic_t caught;

static void on_signal(int number) {
        caught = number;
}

/*
 * One read(2) more than fits tells a long secret from one that just fits. @mask: NULL, or @fd is a terminal that is read
 * to the end of a line, and these signals are blocked but while we wait: none slips in between looking and waiting.
 */
static int read_secret(int fd, const sigset_t *mask, Secret **ret, size_t *ret_n) {
        cleanup(secret_freep) Secret *secret = NULL;
        size_t n = 0;
        int r;

        r = secret_new(&secret, SECRET_MEMFD_MAX + 2); /* and a line end, and one that is too much */
        if (r < 0)
                return r;

        for (;;) {
                struct pollfd waiting = {.fd = fd, .events = POLLIN};
                ssize_t l;

                if (mask && ppoll(&waiting, 1, NULL, mask) < 0)
                        return -errno;
                l = read(fd, secret_data(secret) + n, secret_size(secret) - n);
                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                n += (size_t) l;
                if (l == 0 || n == secret_size(secret) || (mask && secret_data(secret)[n - 1] == '\n'))
                        break;
        }
        if (mask && n == 0)
                return PASSPHRASE_E_INTERRUPTED;
        if (n > 0 && secret_data(secret)[n - 1] == '\n')
                n--;
        if (n == 0)
                return PASSPHRASE_E_EMPTY;
        if (n > SECRET_MEMFD_MAX)
                return PASSPHRASE_E_LONG;

        *ret = take_ptr(secret);
        *ret_n = n;
        return 0;
}

int passphrase_read(int fd, Secret **ret, size_t *ret_n) {
        return read_secret(fd, NULL, ret, ret_n);
}

bool passphrase_can_ask(void) {
        return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

static void say(int fd, const char *text) {
        if (write(fd, text, strlen(text)) < 0)
                return; /* the terminal is gone: reading will tell */
}

int passphrase_ask(const char *prompt, Secret **ret, size_t *ret_n) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
        struct sigaction action = {.sa_handler = on_signal}, old[N_ELEMENTS(signals)];
        struct termios shown, hidden;
        cleanup(close_fdp) int fd = -1;
        sigset_t blocked, mask;
        int r, number;

        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return PASSPHRASE_E_TERMINAL;
        (void) sigemptyset(&blocked);
        for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                (void) sigaddset(&blocked, signals[i]);

        do {
                caught = 0;
                (void) sigprocmask(SIG_BLOCK, &blocked, &mask);
                for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                        (void) sigaction(signals[i], &action, &old[i]);

                if (tcgetattr(fd, &shown) < 0)
                        r = PASSPHRASE_E_TERMINAL;
                else {
                        hidden = shown;
                        hidden.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK | ECHONL);
                        (void) tcsetattr(fd, TCSAFLUSH, &hidden);
                        say(fd, prompt);
                        r = read_secret(fd, &mask, ret, ret_n);
                        (void) tcsetattr(fd, TCSAFLUSH, &shown);
                        say(fd, "\n");
                }

                number = caught;
                for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                        (void) sigaction(signals[i], &old[i], NULL);
                (void) sigprocmask(SIG_SETMASK, &mask, NULL); /* what came after the line takes effect here */
                if (number)
                        (void) raise(number); /* ends us, or stops us until there is a SIGCONT */
        } while (r == -EINTR);
        return r;
}
