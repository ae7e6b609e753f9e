"""Does TensorBoard read our event files? Lists each scalar's count, first and last value: `read_events.py FOLDER`"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    if not tags:
        sys.exit(f"{sys.argv[1]}: TensorBoard finds no scalars there")
    for tag in sorted(tags):
        values = events.Scalars(tag)
        print(f"{tag}\t{len(values)}\tstep {values[0].step}: {values[0].value:g}\tstep {values[-1].step}: {values[-1].value:g}")


if __name__ == "__main__":
    main()
