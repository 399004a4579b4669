// Package hook takes the calls of webhooks, by which senders say that there is news: what the Receiver of the called path
// selects is made due at once. A call does nothing else, whatever it holds.
//
// Which calls are good is Flux's rule for each type of sender (Receiver of notification.toolkit.fluxcd.io/v1); [Verify]
// has it, a file a family of types. Beyond Flux's, these hold:
//
//   - A call that is not authentic is answered as one of a path that nobody has: 404. What is authentic and not wanted, as of
//     an event that is not listed, is told so: 400.
//   - A Receiver whose Secret has an empty token takes no calls: Flux would take them unsigned.
//   - A suspended Receiver says so (503) only to a sender that is who it should be.
//
// Any replica takes a call: all that one leads to is in the database when it is answered, and recorded once however many
// calls ask for it. What is kept here is only what bounds hostile calls: a bucket of tokens a path, turns a namespace, and
// when people were last told of calls that were refused.
package hook
