"""Every call of the gateway, described: functions that return a Call and do no IO."""
