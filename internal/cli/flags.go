package cli

import (
	"cmp"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
)

// stringVar defines a flag as [flag.StringVar] does, with an environment variable for it.
func stringVar(p *string, name, value, env, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env), Destination: p}
}

// boolVar defines a flag as [flag.BoolVar] does, with an environment variable for it.
func boolVar(p *bool, name string, value bool, env, usage string) cli.Flag {
	return &cli.BoolFlag{Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env), Destination: p}
}

// durationVar defines a flag as [flag.DurationVar] does, with an environment variable for it and a minimum.
func durationVar(p *time.Duration, name string, value, least time.Duration, env, usage string) cli.Flag {
	return &cli.DurationFlag{
		Name: name, Value: value, Usage: usage, Sources: cli.EnvVars(env), Destination: p, Validator: atLeast(least),
	}
}

// atLeast returns the Validator of a flag with a minimum.
func atLeast[T cmp.Ordered](least T) func(T) error {
	return func(v T) error {
		if v < least {
			return fmt.Errorf("want %v or more", least)
		}
		return nil
	}
}
