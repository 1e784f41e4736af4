//! Messages of several frames.

use super::*;

#[test]
fn the_frames_of_a_message_go_out_together_and_it_is_sent_when_the_last_is_flushed() {
    let mut bench = Setup::default().connected();
    bench.queue(DueRow { kind: "parcel".into(), confirm: Confirm::Sent, ..row(1) });
    bench.queue(row(2));
    let (tickets, sizes): (Vec<u64>, Vec<usize>) = bench
        .outputs
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Write { ticket, frame } => Some((*ticket, frame.len())),
            _ => None,
        })
        .unzip();
    assert_eq!(sizes, [2, 1, 1, 2], "m1 and its parts, then m2");
    bench.input(Input::Written(tickets[1]));
    assert_eq!(bench.ended("m1"), None, "a part is still to be flushed");
    bench.input(Input::Written(tickets[2]));
    assert_eq!(bench.ended("m1"), Some(MessageState::Sent));
}
