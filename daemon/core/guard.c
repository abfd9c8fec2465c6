/* SPDX-License-Identifier: Apache-2.0 */

#include "guard.h"

#include <poll.h>
#include <sys/syscall.h>

static GuardPeer *find_peer(Guard *guard, const Peer *peer) {
        for (size_t i = 0; i < guard->n_peers; i++)
                if (guard->peers[i].uid == peer->uid && guard->peers[i].session == peer->session)
                        return &guard->peers[i];
        return NULL;
}

void guard_passed(Guard *guard, const Peer *peer, uint64_t now_ms) {
        GuardPeer *wrong = find_peer(guard, peer);
        GuardSession *at = NULL;

        if (wrong)
                *wrong = guard->peers[--guard->n_peers];
        if (peer->session < 0)
                return;
        for (size_t i = 0; i < guard->n_sessions; i++) {
                GuardSession *session = &guard->sessions[i];

                if (session->peer.uid == peer->uid && session->peer.session == peer->session) {
                        at = session;
                        break;
                }
                if (!at || session->until_ms < at->until_ms)
                        at = session;
        }
        if (!(at && at->peer.uid == peer->uid && at->peer.session == peer->session) && guard->n_sessions < GUARD_SESSIONS_MAX)
                at = &guard->sessions[guard->n_sessions++];
        else
                (void) close_fd(at->leader_fd);
        *at = (GuardSession){ .peer = *peer, .until_ms = now_ms + GUARD_LIFE_MS, .leader_fd = (int) syscall(SYS_pidfd_open, peer->session, 0) };
}

bool guard_permits(const Guard *guard, const Peer *peer, uint64_t now_ms) {
        for (size_t i = 0; i < guard->n_sessions; i++) {
                const GuardSession *session = &guard->sessions[i];

                if (session->peer.uid == peer->uid && session->peer.session == peer->session && peer->session >= 0) {
                        struct pollfd leader = { .fd = session->leader_fd, .events = POLLIN };

                        return now_ms < session->until_ms && poll(&leader, 1, 0) == 0;
                }
        }
        return false;
}

static uint64_t slow_down(GuardPeer *peer, uint64_t max_ms, uint64_t now_ms) {
        uint64_t delay_ms = GUARD_DELAY_MIN_MS;

        for (unsigned i = 0; i < peer->n_wrong && delay_ms < max_ms; i++)
                delay_ms *= 2;
        if (delay_ms > max_ms)
                delay_ms = max_ms;
        peer->n_wrong++;
        peer->not_before_ms = now_ms + delay_ms;
        return delay_ms;
}

uint64_t guard_failed(Guard *guard, const Peer *peer, uint64_t now_ms) {
        GuardPeer *wrong = find_peer(guard, peer);

        if (!wrong) {
                /* More than there are places: the one that may try again first makes room. */
                if (guard->n_peers == GUARD_PEERS_MAX) {
                        wrong = &guard->peers[0];
                        for (size_t i = 1; i < guard->n_peers; i++)
                                if (guard->peers[i].not_before_ms < wrong->not_before_ms)
                                        wrong = &guard->peers[i];
                } else
                        wrong = &guard->peers[guard->n_peers++];
                *wrong = (GuardPeer){ .uid = peer->uid, .session = peer->session };
        }
        wrong->pid = peer->pid;
        return slow_down(wrong, GUARD_DELAY_MAX_MS, now_ms);
}

uint64_t guard_must_wait(const Guard *guard, const Peer *peer, uint64_t now_ms) {
        for (size_t i = 0; i < guard->n_peers; i++)
                if (guard->peers[i].uid == peer->uid && guard->peers[i].session == peer->session && guard->peers[i].pid == peer->pid && guard->peers[i].not_before_ms > now_ms)
                        return guard->peers[i].not_before_ms - now_ms;
        return 0;
}

/* --- codes --- */

void guard_code_passed(Guard *guard, const Peer *peer, uint64_t now_ms) {
        GuardCode *at = &guard->codes[0];

        guard->code_tries = (GuardPeer){ 0 };
        for (size_t i = 1; i < GUARD_CODES_MAX; i++)
                if (guard->codes[i].until_ms < at->until_ms)
                        at = &guard->codes[i];
        *at = (GuardCode){ .connection = peer->connection, .until_ms = now_ms + GUARD_CODE_LIFE_MS };
}

bool guard_code_take(Guard *guard, const Peer *peer, uint64_t now_ms) {
        for (size_t i = 0; i < GUARD_CODES_MAX; i++)
                if (guard->codes[i].connection == peer->connection && guard->codes[i].until_ms > now_ms) {
                        guard->codes[i] = (GuardCode){ 0 };
                        return true;
                }
        return false;
}

uint64_t guard_code_failed(Guard *guard, uint64_t now_ms) {
        return slow_down(&guard->code_tries, GUARD_CODE_DELAY_MAX_MS, now_ms);
}

uint64_t guard_code_must_wait(const Guard *guard, uint64_t now_ms) {
        return guard->code_tries.not_before_ms > now_ms ? guard->code_tries.not_before_ms - now_ms : 0;
}
