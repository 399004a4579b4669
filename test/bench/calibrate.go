package main

import (
	"context"
	"runtime"
	"time"
)

// calibration is what the machine was able to do while the benchmarks ran: figures of two runs compare only as far as
// these do.
type calibration struct {
	cpu, one, many sample
}

// calibrate adds a measurement of each.
func (b *bench) calibrate(ctx context.Context) error {
	b.machine.cpu = append(b.machine.cpu, cpuLoop().Seconds())
	if err := b.calibrateBareLoop(ctx, &b.machine.one, 1); err != nil {
		return err
	}
	return b.calibrateBareLoop(ctx, &b.machine.many, manyAtOnce)
}

func (b *bench) calibrateBareLoop(ctx context.Context, speeds *sample, atOnce int) error {
	took, err := b.bare.apply(ctx, atOnce)
	if err == nil {
		*speeds = append(*speeds, float64(b.settings.objects)/took.Seconds())
	}
	return err
}

func (c calibration) figures(kind string) []figure {
	cpu := figureOf("calibration, CPU", seconds, c.cpu, "100 million xorshift steps on one core")
	if len(c.one) == 0 {
		return []figure{cpu}
	}
	return []figure{
		cpu,
		figureOf("calibration, bare loop", perSecond, c.one, kind+"s applied one after the other, all changed"),
		figureOf("calibration, bare loop at 16", perSecond, c.many, "the same with 16 under way at once"),
	}
}

// cpuLoop is work of a fixed amount for one core, without memory.
func cpuLoop() time.Duration {
	began := time.Now()
	x := uint64(88172645463325252)
	for range 100_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	runtime.KeepAlive(x)
	return time.Since(began)
}
