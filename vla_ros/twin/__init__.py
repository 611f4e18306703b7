"""The simulated robot: scene, physics that plays the Gen3's controller, cameras, tasks and an expert."""
