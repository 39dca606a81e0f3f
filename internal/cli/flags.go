package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
)

// stringVar defines a flag like [flag.StringVar], with an environment variable.
func stringVar(p *string, name, value, env, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env), Destination: p}
}

// boolVar defines a flag like [flag.BoolVar], with an environment variable.
func boolVar(p *bool, name string, value bool, env, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env), Destination: p}
}

// durationVar defines a flag like [flag.DurationVar], with an environment variable and a minimum.
func durationVar(p *time.Duration, name string, value, least time.Duration, env, usage string) cli.Flag {
	return &cli.DurationFlag{
		Name: name, Value: value, HideDefault: value == 0, // usage describes it
		Usage: usage, Sources: cli.EnvVars(env), Destination: p, Validator: atLeast(least),
	}
}

// atLeast returns a Validator that rejects values less than a minimum.
func atLeast[T cmp.Ordered](least T) func(T) error {
	return func(v T) error {
		if v < least {
			return fmt.Errorf("want %v or more", least)
		}
		return nil
	}
}
