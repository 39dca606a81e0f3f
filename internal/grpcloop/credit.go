package grpcloop

import (
	"math"

	"golang.org/x/net/http2"
)

// giveCredit has the other end send more, unless the handler is behind, or the other end itself, in taking what the handler says.
// The lock is held.
func (s *Stream) giveCredit() {
	if s.owed < streamWindow/2 || s.backlog >= streamWindow/2 || len(s.queue) >= streamWindow/2 || s.isOver || s.ended != nil {
		return
	}
	_ = s.conn.writer.WriteWindowUpdate(s.id, uint32(s.owed))
	s.owed = 0
}

// credited has the other end send as much again on the connection as has come.
func (c *conn) credited(size int) {
	if c.received += size; c.received < connWindow/2 {
		return
	}
	c.mu.Lock()
	_ = c.writer.WriteWindowUpdate(0, uint32(c.received))
	c.mu.Unlock()
	c.received = 0
}

// takeWindowUpdate lets more be sent.
func (c *conn) takeWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		wasBlocked := c.credit <= 0
		if c.credit += int64(f.Increment); c.credit > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		if wasBlocked {
			c.pumpBlocked()
		}
		return nil
	}
	s := c.streams[f.StreamID]
	switch {
	case s == nil && c.isIdle(f.StreamID):
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case s == nil:
		return nil
	}
	if s.credit += int64(f.Increment); s.credit > math.MaxInt32 {
		return streamError(f.StreamID, http2.ErrCodeFlowControl)
	}
	if len(s.queue) > 0 && c.pump(s) {
		c.unblock(s)
	}
	return nil
}

func (c *conn) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	initial := c.initial
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			initial = int64(s.Val)
		case http2.SettingMaxFrameSize:
			c.largest = int(min(s.Val, keptBuffer))
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(min(s.Val, 4096))
			c.encoder.SetMaxDynamicTableSize(min(s.Val, 4096))
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = c.writer.WriteSettingsAck() // before what they let go
	return c.setInitial(initial)
}

// setInitial changes the credit with which streams begin, and so that of all there are (RFC 9113, section 6.9.2). The lock is held.
func (c *conn) setInitial(initial int64) error {
	change := initial - c.initial
	if change == 0 {
		return nil
	}
	c.initial = initial
	for _, s := range c.streams {
		if s.credit += change; s.credit > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	}
	if change > 0 {
		c.pumpBlocked()
	}
	return nil
}
