"""The dashboard: an HTTP application and a page without a build step. It knows no ROS: `vla_ros.nodes.dashboard` feeds it."""
