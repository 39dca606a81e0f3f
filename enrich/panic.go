package enrich

import (
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that was recovered in a goroutine that works for an exchange.
type PanicError struct {
	Value any    // of the call to panic
	Stack []byte // of the goroutine that panicked, as debug.Stack returns it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// AsPanic returns the error for a recovered value, nil if there is none. It must be called by the deferred function
// that recovered, whose stack still shows where the panic was. A panic that was raised again, with its PanicError, is
// returned as it is.
func AsPanic(recovered any) *PanicError {
	switch value := recovered.(type) {
	case nil:
		return nil
	case *PanicError:
		return value
	default:
		return &PanicError{Value: value, Stack: debug.Stack()}
	}
}
