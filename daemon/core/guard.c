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

uint64_t guard_failed(Guard *guard, const Peer *peer, uint64_t now_ms) {
        GuardPeer *wrong = find_peer(guard, peer);
        uint64_t delay_ms = GUARD_DELAY_MIN_MS;

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
        for (unsigned i = 0; i < wrong->n_wrong && delay_ms < GUARD_DELAY_MAX_MS; i++)
                delay_ms *= 2;
        if (delay_ms > GUARD_DELAY_MAX_MS)
                delay_ms = GUARD_DELAY_MAX_MS;
        wrong->n_wrong++;
        wrong->not_before_ms = now_ms + delay_ms;
        return delay_ms;
}

uint64_t guard_must_wait(const Guard *guard, const Peer *peer, uint64_t now_ms) {
        for (size_t i = 0; i < guard->n_peers; i++)
                if (guard->peers[i].uid == peer->uid && guard->peers[i].session == peer->session && guard->peers[i].not_before_ms > now_ms)
                        return guard->peers[i].not_before_ms - now_ms;
        return 0;
}
